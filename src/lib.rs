//! Switchboard makes racy conversations safe.
//!
//! A code tour, in reading order:
//!
//! 1. [`error`]: one error type, a closed list of codes. [`config`]: every knob. [`clock`]: time and ids.
//! 2. [`db`]: the pool, transactions, migrations, the embedded Postgres.
//! 3. [`event`]: the log that every change is appended to, and its way to subscribers. The heart.
//! 4. [`timer`]: what is to happen later, also after a crash.
//! 5. [`auth`]: who is calling.
//! 6. [`chat`]: the first concept that lives on all this: races of agents for a customer's chat.
//! 7. [`graphql`]: the schema, the guard before it, and the one driver of all subscriptions.
//! 8. [`http`]: the transports. [`app`]: the wiring. [`demo`]: data to try it with.
//!
//! Data flows one way:
//!
//! ```text
//! client ─► http ─► auth ─► <concept>/graphql.rs ─► <concept>/service.rs ─► <concept>/sql.rs ─► Postgres
//!                                                        └─ event::append, same transaction, last statement
//! Postgres ─ NOTIFY ─► event::listener ─► event::hub ─► graphql::subscribe ─► <concept>/graphql.rs ─► client
//! ```

pub mod app;
pub mod audit;
pub mod chat;
pub mod concepts;
pub mod demo;
pub mod platform;
pub mod router;
pub mod settings;
pub mod tenant;
