//! Which subscribers are shown the same.
//!
//! A message of a stream is executed for an [`Audience`], not for the subscriber: for a caller reduced to what the
//! record's fields depend on. Two subscribers whose audiences are equal share the execution. A resolver cannot show one of
//! them what the other may not see, because it finds nothing in its context by which it could tell them apart.

use std::sync::Arc;

use crate::platform::auth::{Caller, Principal};

/// Whom a stream's messages are executed for.
#[derive(Debug, Clone)]
pub struct Audience {
    /// In the context of the resolvers.
    pub(super) caller: Caller,
    /// What besides the caller decides what is shown: for a caller without a credential what it has proved instead.
    pub(super) proof: Option<Arc<str>>,
}

impl Audience {
    /// All callers that `caller` stands for: it has nothing in it that the record's fields do not depend on.
    pub fn of(caller: Caller) -> Self {
        Self { caller, proof: None }
    }

    /// All callers of the company and the role of `principal`, for records of which such callers see the same.
    pub fn of_role(principal: &Principal) -> Self {
        Self::of(Caller::Known(Arc::new(principal.of_role_alone())))
    }

    /// All callers without a credential that have proved the same.
    pub fn of_anonymous(proof: impl Into<Arc<str>>) -> Self {
        Self { caller: Caller::Anonymous, proof: Some(proof.into()) }
    }
}

impl PartialEq for Audience {
    fn eq(&self, other: &Self) -> bool {
        let callers = match (&self.caller, &other.caller) {
            (Caller::Known(one), Caller::Known(other)) => Arc::ptr_eq(one, other) || one == other,
            (Caller::Anonymous, Caller::Anonymous) => true,
            _ => false,
        };
        callers && self.proof == other.proof
    }
}
