//! What every concept stands on, each part on a real Postgres and without the concepts where it needs none.

mod auth;
mod credentials;
mod database_sessions;
mod embedded;
mod events;
mod idempotency;
mod layers;
mod leases;
mod plans;
mod service;
mod sql_roles;
mod statements;
mod tasks;
mod timers;
