//! Scopes: which narrowed streams an event concerns, in a form that the log can be searched by.
//!
//! A stream of one visitor, agent or contract listens to a field of the subjects' records ([`Scope::Field`]). The hub
//! routes new events by the field's text. For past events the log has an index over *scope keys*: each event carries one
//! key for each field that streams may be narrowed by, of the record after the change and of the record before it. So a
//! subject that leaves a scope is found by both.
//!
//! A key is a hash, so two scopes may share one, with a chance of one in 2^64. A search may therefore find an event too
//! many, never one too few, and the feed decides about each event that was found. An event whose keys are
//! not known is found by every search.
//!
//! Which fields of a subject's record give keys is said twice: by the server (`Record::scopes`, `NewEvent::scoped_by`) and,
//! for SQL callers, in `event_subject.scope_fields`. A test compares them.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::hub::{Interest, Scope};

/// The key of all subjects of a type whose record has, or had, `value` in `field`. The SQL function `event_scope_key`
/// computes the same.
pub fn scope_key(company_id: Uuid, subject_type: &str, field: &str, value: &str) -> i64 {
    let name = format!("{company_id}/{subject_type}/{field}/{value}");
    let digest: [u8; 32] = Sha256::digest(name).into();
    i64::from_be_bytes(std::array::from_fn(|place| digest[place]))
}

/// Which events of a company a stream may be concerned by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeScope {
    /// All of the subject types.
    Company,
    /// Those of some subjects, by type and id, and those with some keys.
    Narrow {
        /// Types and ids.
        subjects: Vec<(&'static str, String)>,
        /// As [`scope_key`] makes them.
        keys: Vec<i64>,
    },
}

impl RangeScope {
    /// What any of `interests` wants.
    pub fn of(interests: &[Interest]) -> Self {
        let (mut subjects, mut keys) = (Vec::new(), Vec::new());
        for Interest { company_id, subject_type, scope } in interests {
            match scope {
                Scope::All => return Self::Company,
                Scope::Subject(id) => subjects.push((*subject_type, id.clone())),
                Scope::Field(field, value) => keys.push(scope_key(*company_id, subject_type, field, value)),
            }
        }
        Self::Narrow { subjects, keys }
    }
}
