//! The audit trail: what happened to a subject, read from the event log.

pub mod graphql;
