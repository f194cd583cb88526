//! What every concept stands on, each part on a real Postgres and without the concepts where it needs none.

mod auth;
mod credentials;
mod embedded;
mod events;
mod layers;
mod service;
mod tasks;
mod timers;
