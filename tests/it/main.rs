//! Tests of the whole product against a real Postgres, each on a database of its own.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up may panic")]

mod auth;
mod chat;
mod embedded;
mod events;
mod graphql_over_http;
mod http_server;
mod layers;
mod race;
mod server;
mod support;
mod timers;
mod websocket;
