//! The transports: the accept loop, GraphQL over HTTP and both WebSocket protocols, over small schemas.

mod graphql_over_http;
mod http_server;
mod unread;
mod websocket;
