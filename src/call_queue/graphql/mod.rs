//! The call queue's part of the schema.

pub mod campaign;
pub mod mutation;
pub mod objects;
pub mod query;
pub mod subscription;

use async_graphql::Context;

pub use self::{
    campaign::{CampaignMutation, CampaignQuery},
    mutation::CallQueueMutation,
    objects::CallQueueItem,
    query::CallQueueQuery,
    subscription::CallQueueSubscription,
};
use super::CallQueue;

/// What resolvers read from the context.
pub(crate) trait CallQueueContextExt<'a> {
    /// The verbs and reads of the concept.
    fn call_queue(&self) -> &'a CallQueue;
}

impl<'a> CallQueueContextExt<'a> for Context<'a> {
    fn call_queue(&self) -> &'a CallQueue {
        self.data_unchecked()
    }
}
