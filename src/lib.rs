//! Switchboard makes racy conversations safe: one server on Postgres, with a GraphQL API.
//!
//! # A tour of the code, in reading order
//!
//! 1. [`platform::error`], [`platform::config`], [`platform::clock`]: one error type with a closed list of codes, the
//!    settings, time and ids.
//! 2. [`platform::db`]: the pools, the migrations, the embedded Postgres.
//! 3. [`platform::unit`]: the unit of work, one transaction and what happens with its commit. `platform::batch`: calls
//!    that arrive together share a transaction.
//! 4. [`platform::event`]: the log that every change is appended to. [`platform::subscription`]: how a client's stream is
//!    made from it.
//! 5. [`platform::timer`]: effects at a later time, also after a crash. [`platform::lease`]: rights that end by themselves.
//!    [`platform::idempotency`]: calls that a client may repeat. [`platform::sql_role`]: callers of SQL functions.
//!    [`platform::service`]: whether servers live. [`platform::task`]: background tasks and their supervisor.
//! 6. [`platform::auth`]: from a token to a caller. [`platform::limit`]: how often one client may do what costs much.
//! 7. [`chat`]: the first concept on this platform, in which agents race for a customer's chat. [`operation`]: calls on
//!    one chat that oppose each other never overlap. [`call`]: phone calls. [`call_queue`]: slots, and the
//!    line of calls that wait for one. [`session`]: everybody in a video session is
//!    on one provider. [`tenant`]: companies and API keys. [`audit`]: the query of the event log.
//! 8. [`platform::graphql`]: documents, from text to response. [`platform::http`]: the transports.
//! 9. [`concepts`]: the list of all concepts, and the schema that they make together. [`settings`], [`router`], [`app`]:
//!    composition only. [`cli`]: the program's commands. [`demo`]: data for trying the server.
//!
//! Concepts import the platform; the platform imports no concept. What a concept registers is a value of
//! [`platform::concept`].
//!
//! # A mutation, and its way to subscribers
//!
//! ```text
//! client ─► http ─► auth ─► graphql ─► <concept>/graphql ─► <concept>/<verb>: lock, decide, write ─► <concept>/sql
//!                                                                │                                       │
//!                                                                ▼                                       ▼
//!                                            unit: timers and events last, then commit ─────────────► Postgres
//!
//! Postgres ─ NOTIFY ─► event::listener ─► event::reader ─► event::hub ─► subscription ─► <concept>/feeds ─► client
//! ```
//!
//! NOTIFY is a wake-up and carries no data: the reader reads the log.
// The future of a mutation is nested as deep as its resolvers, the transports and the tasks around them.
#![recursion_limit = "256"]

pub mod app;
pub mod audit;
pub mod call;
pub mod call_queue;
pub mod chat;
pub mod cli;
pub mod concepts;
pub mod demo;
pub mod operation;
pub mod platform;
pub mod router;
pub mod session;
pub mod settings;
pub mod tenant;
