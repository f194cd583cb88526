//! Access to the call queue: the company's servers and operators, nobody else, for any user of the company.

use crate::platform::concept::{Access, RootField};

/// Who reaches each root field of this concept.
pub const FIELDS: &[RootField] = &[
    ("Query.callQueueItem", Access::COMPANY),
    ("Query.callQueueStatus", Access::COMPANY),
    ("Query.callConcurrency", Access::COMPANY),
    ("Query.campaign", Access::COMPANY),
    ("Query.campaigns", Access::COMPANY),
    ("Query.callQueueItems", Access::COMPANY),
    ("Query.callQueueUsers", Access::COMPANY),
    ("Query.callQueueSamples", Access::COMPANY),
    ("Mutation.cancelQueuedCalls", Access::COMPANY),
    ("Subscription.callQueue", Access::COMPANY),
    ("Subscription.callQueueItem", Access::COMPANY),
    ("Subscription.campaignStatus", Access::COMPANY),
    ("Mutation.createCampaign", Access::COMPANY),
    ("Mutation.updateCampaign", Access::COMPANY),
    ("Mutation.enqueueCampaignCalls", Access::COMPANY),
    ("Mutation.initiateCall", Access::COMPANY),
    ("Mutation.cancelQueuedCall", Access::COMPANY),
    ("Mutation.renewCalls", Access::COMPANY),
    ("Mutation.setCallConcurrency", Access::COMPANY),
];
