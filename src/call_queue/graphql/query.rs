//! Queries on the queue.

use async_graphql::{Context, ID, Object};
use uuid::Uuid;

use super::{
    CallQueueContextExt as _, CallQueueItem,
    objects::{CallConcurrency, CallQueueStatus},
};
use crate::platform::{
    error::Result,
    graphql::{context::ContextExt as _, directives},
    input,
};

/// Queries on the queue.
#[derive(Default)]
pub struct CallQueueQuery;

#[Object]
impl CallQueueQuery {
    /// One item of the queue.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn call_queue_item(&self, context: &Context<'_>, id: Uuid) -> Result<Option<CallQueueItem>> {
        let item = Box::pin(context.call_queue().item(context.principal()?, id)).await?;
        Ok(item.map(CallQueueItem::from))
    }

    /// What of a user waits and what has slots.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn call_queue_status(&self, context: &Context<'_>, user_id: ID) -> Result<CallQueueStatus> {
        let principal = context.principal()?;
        principal.require_company()?;
        let user_id = input::name("userId", &user_id)?;
        let status = context.call_queue().status(principal, &user_id).await?;
        Ok(CallQueueStatus { user_id, status })
    }

    /// Limits of a user and of the company, and what they count.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn call_concurrency(&self, context: &Context<'_>, user_id: ID) -> Result<CallConcurrency> {
        let principal = context.principal()?;
        principal.require_company()?;
        let user_id = input::name("userId", &user_id)?;
        let status = context.call_queue().status(principal, &user_id).await?;
        Ok(CallConcurrency::new(&user_id, &status))
    }
}
