//! Access to calls: the company's servers and operators, nobody else.

use crate::platform::{
    auth::Principal,
    concept::{Access, RootField},
    error::Result,
};

/// Who reaches each root field of this concept.
pub const FIELDS: &[RootField] = &[
    ("Query.call", Access::COMPANY),
    ("Query.calls", Access::COMPANY),
    ("Query.checkCallActive", Access::COMPANY),
    ("Mutation.registerCall", Access::COMPANY),
    ("Mutation.updateCallStatus", Access::COMPANY),
    ("Mutation.hangUpCall", Access::COMPANY),
    ("Mutation.scheduleHangUp", Access::COMPANY),
    ("Mutation.beginCallOperation", Access::COMPANY),
    ("Mutation.completeCallOperation", Access::COMPANY),
    ("Mutation.appendCallMessage", Access::COMPANY),
    ("Mutation.finalizeCall", Access::COMPANY),
    ("Subscription.callStatus", Access::COMPANY),
    ("Subscription.callDispatched", Access::COMPANY),
    ("Subscription.callHangUps", Access::COMPANY),
];

/// Checks that the caller may use calls.
///
/// # Errors
/// `FORBIDDEN` for others than service and admin.
pub fn require(principal: &Principal) -> Result<()> {
    principal.require_company()
}

/// The caller as the owner of its operations: equal subjects of different roles are different callers.
pub fn name(principal: &Principal) -> String {
    format!("{}:{}", principal.role.as_str(), principal.subject)
}
