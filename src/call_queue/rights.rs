//! Access to the call queue: the company's servers and operators, nobody else, for any user of the company.

use crate::platform::concept::{Access, RootField};

/// Who reaches each root field of this concept.
pub const FIELDS: &[RootField] = &[
    ("Query.callQueueItem", Access::COMPANY),
    ("Query.callQueueStatus", Access::COMPANY),
    ("Query.callConcurrency", Access::COMPANY),
    ("Mutation.initiateCall", Access::COMPANY),
    ("Mutation.cancelQueuedCall", Access::COMPANY),
    ("Mutation.renewCalls", Access::COMPANY),
    ("Mutation.setCallConcurrency", Access::COMPANY),
];
