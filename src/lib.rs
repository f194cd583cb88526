//! Switchboard.

pub mod auth;
pub mod clock;
pub mod config;
pub mod db;
pub mod error;
pub mod event;
pub mod graphql;
pub mod http;
pub mod timer;
