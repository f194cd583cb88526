//! GraphQL over WebSocket: real sockets over a small schema, without a database.

mod bounds;
mod protocols;
mod server;
