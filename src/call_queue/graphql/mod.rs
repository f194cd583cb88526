//! The call queue's part of the schema.

pub mod mutation;
pub mod objects;
pub mod query;

use async_graphql::Context;

pub use self::{mutation::CallQueueMutation, objects::CallQueueItem, query::CallQueueQuery};
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
