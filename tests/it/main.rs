//! Tests of the whole product against a real Postgres, each on a database of its own.
//!
//! A folder for each concept (`call`, `call_queue`, `chat`, `operation`, `session`, `tenant`) and for what all of them stand on:
//! `platform` (event log, timers, tasks,
//! authentication, embedded Postgres), `transport` (HTTP and WebSocket), `system` (whole servers as processes: crashes,
//! outages, commands, rights, documents). `support` holds what the tests share.
// The future of a mutation is nested as deep as its resolvers, the transports and the tasks around them.
#![recursion_limit = "256"]
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up may panic")]

mod call;
mod call_queue;
mod chat;
mod operation;
mod platform;
mod session;
mod support;
mod system;
mod tenant;
mod transport;
