//! Companies, and the API keys of their servers.
//!
//! A company is a tenant: nothing of one is reachable from another. Companies and keys are managed by their operators,
//! from the command line. How a key proves who its bearer is, is [`platform::auth`](crate::platform::auth)'s affair.
//!
//! Revoking a key is final. It is an event of the subject `api_key`, by which every server closes the sockets that were
//! opened with the key.

mod api_key;
mod company;
mod sql;

pub use api_key::ApiKey;

use crate::platform::{
    auth::api_key::SUBJECT,
    concept::{Access, Concept, SubjectType},
    error::{Error, Result},
    unit::UnitOfWork,
};

const API_KEY_CREATED: &str = "ApiKeyCreated";
const API_KEY_REVOKED: &str = "ApiKeyRevoked";

/// The mutations and reads of this concept. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tenants {
    work: UnitOfWork,
}

impl Tenants {
    /// The concept on this database.
    pub fn new(work: UnitOfWork) -> Self {
        Self { work }
    }
}

/// A name within the tables' bounds, without white space around it.
fn checked_name(name: &str) -> Result<&str> {
    let name = name.trim();
    if !(1..=200).contains(&name.chars().count()) {
        return Err(Error::invalid("name", "must have 1 to 200 characters"));
    }
    if name.contains(char::is_control) {
        return Err(Error::invalid("name", "must not contain control characters"));
    }
    Ok(name)
}

/// What this concept registers.
pub fn concept() -> Concept {
    Concept {
        name: "tenant",
        subjects: &[SubjectType { name: SUBJECT, event_types: &[API_KEY_CREATED, API_KEY_REVOKED] }],
        timers: Vec::new(),
        timers_for_people: &[],
        fields: &[("Query.viewer", Access::Credential)],
    }
}
