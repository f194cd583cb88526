//! The audit trail: what happened to a subject, read from the event log.

pub mod graphql;
mod history;

pub use history::AuditTrail;

use crate::platform::concept::{Access, Concept};

/// What this concept registers.
pub fn concept() -> Concept {
    Concept {
        name: "audit",
        subjects: &[],
        timers: Vec::new(),
        timers_for_people: &[],
        fields: &[("Query.events", Access::COMPANY), ("Query.logCursor", Access::Credential)],
    }
}
