//! Queries on the queue.

use std::sync::Arc;

use async_graphql::{
    Context, ID, Object,
    connection::{Connection, EmptyFields},
};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    CallQueueContextExt as _, CallQueueItem,
    objects::{CallConcurrency, CallQueueSample, CallQueueStatus, CallQueueUser},
};
use crate::{
    call::rules::CallType,
    call_queue::{QueueItem, QueueUser, UserPlace, campaign::change::within},
    platform::{
        error::Result,
        graphql::{
            context::ContextExt as _,
            directives,
            page::{self, Place},
        },
        input,
    },
};

/// Most minutes of one request: as long as samples are kept.
const MOST_SAMPLES: i32 = 1_440;

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

    /// Open items of a user, oldest first.
    #[graphql(directive = directives::cost::apply(directives::LIST))]
    async fn call_queue_items(
        &self,
        context: &Context<'_>,
        user_id: ID,
        call_type: Option<CallType>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Connection<String, CallQueueItem, EmptyFields, EmptyFields>> {
        let principal = context.principal()?;
        principal.require_company()?;
        let size = page::size("first", first)?;
        let after = after.map(|cursor| Place::parse("after", &cursor)).transpose()?.map(|place| place.id);
        let user_id = input::name("userId", &user_id)?;
        let found = context.call_queue().items(&context.reading(), principal, user_id, call_type, after, size).await?;
        let place = |item: &Arc<QueueItem>| Place { at: OffsetDateTime::UNIX_EPOCH, id: item.id };
        Ok(found.into_connection(place, CallQueueItem::from))
    }

    /// What of a user waits and what has slots.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn call_queue_status(&self, context: &Context<'_>, user_id: ID) -> Result<CallQueueStatus> {
        let principal = context.principal()?;
        principal.require_company()?;
        let user_id = input::name("userId", &user_id)?;
        let status = context.call_queue().status(&context.reading(), principal, &user_id).await?;
        Ok(CallQueueStatus { user_id, status })
    }

    /// Users, the longest line first.
    #[graphql(directive = directives::cost::apply(directives::LIST))]
    async fn call_queue_users(
        &self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Connection<String, CallQueueUser, EmptyFields, EmptyFields>> {
        let principal = context.principal()?;
        principal.require_company()?;
        let size = page::size("first", first)?;
        let after = after.map(|cursor| UserPlace::parse("after", &cursor)).transpose()?;
        let found = context.call_queue().users(&context.reading(), principal, after, size).await?;
        Ok(found.into_connection(QueueUser::place, CallQueueUser::from))
    }

    /// What waited and ran at the end of each of the last minutes, and what was dispatched in it, oldest first: of a user,
    /// or of the company. Minutes in which there was nothing have no sample. Kept for a day.
    #[graphql(
        directive = directives::cost::apply(directives::LIST),
        directive = directives::list_size::apply(MOST_SAMPLES)
    )]
    async fn call_queue_samples(
        &self,
        context: &Context<'_>,
        user_id: Option<ID>,
        minutes: i32,
    ) -> Result<Vec<CallQueueSample>> {
        let principal = context.principal()?;
        principal.require_company()?;
        let minutes = within("minutes", minutes, 1..=MOST_SAMPLES)?;
        let user_id = user_id.map(|id| input::name("userId", &id)).transpose()?;
        let samples = context.call_queue().samples(&context.reading(), principal, user_id, minutes).await?;
        Ok(samples.into_iter().map(CallQueueSample::from).collect())
    }

    /// Limits of a user and of the company, and what they count.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn call_concurrency(&self, context: &Context<'_>, user_id: ID) -> Result<CallConcurrency> {
        let principal = context.principal()?;
        principal.require_company()?;
        let user_id = input::name("userId", &user_id)?;
        let status = context.call_queue().status(&context.reading(), principal, &user_id).await?;
        Ok(CallConcurrency::new(&user_id, &status))
    }
}
