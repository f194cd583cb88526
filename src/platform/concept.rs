//! What a concept registers with the server: plain data, one value a concept.
//!
//! The application lists the concepts once (`src/concepts.rs`) and takes from each value what it needs: the event log's
//! subjects, the scheduler's handlers, the rights of its root fields. Background tasks stand on the database and on
//! settings, so they are made there.

use super::{auth::Role, timer::HandlerRef};

/// What one concept registers.
pub struct Concept {
    /// The one word for it: its folder, migration, test folder and metric label.
    pub name: &'static str,
    /// The subjects that it writes events of.
    pub subjects: &'static [SubjectType],
    /// The effects of its timers.
    pub timers: Vec<HandlerRef>,
    /// Those of its timers (subject type and purpose) by which people are given time: one that came due while no server
    /// lived fires only some time after service resumed. See [`service`](super::service).
    pub timers_for_people: &'static [(&'static str, &'static str)],
    /// Who reaches each of its root fields. A root field of the schema without a row here fails a test.
    pub fields: &'static [RootField],
}

/// A kind of subject in the event log, and all that can happen to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubjectType {
    /// `event.subject_type`.
    pub name: &'static str,
    /// Every value of `event.type` for such a subject.
    pub event_types: &'static [&'static str],
}

/// A root field of the schema, as `Mutation.startChat`, and who reaches it.
pub type RootField = (&'static str, Access);

/// The callers that reach a root field. What they see there is decided for each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Also callers without a credential.
    Anyone,
    /// Callers with a credential of any role.
    Credential,
    /// Callers of these roles; others get `FORBIDDEN`.
    Roles(&'static [Role]),
    /// As [`Access::Credential`]; also widgets without one, where the settings allow them.
    CredentialOrWidget,
    /// As [`Access::Roles`]; also widgets without a credential, where the settings allow them.
    RolesOrWidget(&'static [Role]),
}

impl Access {
    /// Roles that act for the whole company.
    pub const COMPANY: Self = Self::Roles(&[Role::Service, Role::Admin]);
}
