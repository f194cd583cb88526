//! GraphQL over WebSocket, over real sockets and a small schema: no database is needed to prove a close code.

mod bounds;
mod server;
mod spoken;
