//! Subscriptions to the queue. Their values are computed from the present state: a later message replaces an earlier one.

use std::{pin::pin, sync::Arc};

use async_graphql::{Context, ID, SimpleObject, Subscription};
use async_stream::stream;
use futures_util::StreamExt as _;
use uuid::Uuid;

use super::{CallQueueContextExt as _, CallQueueItem, campaign::Campaign, objects::CallQueueStatus};
use crate::{
    call::rules::CallType,
    call_queue::{QueueHead, QueueItem, campaign::CampaignFeed},
    platform::{
        error::{Error, Result},
        event::{Cursor, Hub},
        graphql::{
            context::ContextExt as _,
            directives, page,
            source::{self, SourceRegistered},
            stream_event::StreamEvent,
        },
        input,
        subscription::ChangeOperation,
    },
};

/// A message of `callQueueItem`.
#[derive(SimpleObject)]
pub struct CallQueueItemEvent {
    /// SNAPSHOT, READY, then UPDATE at each change.
    operation: ChangeOperation,
    /// The item as it is now; null on READY.
    record: Option<CallQueueItem>,
    /// Any cursor resumes this stream with the present state.
    cursor: Cursor,
    /// False: every message is the whole present state.
    resync: bool,
}

/// A message of `callQueue`.
#[derive(SimpleObject)]
pub struct CallQueueEvent {
    /// SNAPSHOT, READY, then UPDATE at each change.
    operation: ChangeOperation,
    /// What of the user waits and what has slots.
    status: CallQueueStatus,
    /// The items that will be dispatched first, in this order.
    #[graphql(directive = directives::list_size::apply(100))]
    items: Vec<CallQueueItem>,
    /// Any cursor resumes this stream with the present state.
    cursor: Cursor,
    /// False: every message is the whole present state.
    resync: bool,
}

fn cursor(hub: &Hub) -> Cursor {
    hub.position().map_or(Cursor::Restart, Cursor::At)
}

fn item_event(operation: ChangeOperation, item: Option<&QueueItem>, hub: &Hub) -> CallQueueItemEvent {
    let record = item.cloned().map(CallQueueItem::from);
    CallQueueItemEvent { operation, record, cursor: cursor(hub), resync: false }
}

fn queue_event(operation: ChangeOperation, user_id: &str, head: &QueueHead, hub: &Hub) -> CallQueueEvent {
    let status = CallQueueStatus { user_id: user_id.to_owned(), status: head.status.clone() };
    let items = head.items.iter().cloned().map(CallQueueItem::from).collect();
    CallQueueEvent { operation, status, items, cursor: cursor(hub), resync: false }
}

/// Subscriptions to the queue.
#[derive(Default)]
pub struct CallQueueSubscription;

#[Subscription]
impl CallQueueSubscription {
    /// One waiter: its place and wait, then again as they change, at most four times a second. Ends when the item has
    /// ended.
    async fn call_queue_item(
        &self,
        context: &Context<'_>,
        id: Uuid,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<CallQueueItemEvent>> {
        // Whatever the cursor: the present state is everything.
        let _ = after;
        let (queue, hub) = (context.call_queue(), context.sources().hub.clone());
        let item = Box::pin(queue.item(context.principal()?, id)).await?;
        let item = item.ok_or_else(|| Error::not_found("queue item"))?;
        let values = queue.watch_item(context.sources(), &item);
        let events = stream! {
            let mut values = pin!(values);
            let mut last: Option<QueueItem> = None;
            while let Some(value) = values.next().await {
                let item = match value {
                    Ok(item) => item,
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                };
                if last.as_ref() == Some(&item) {
                    continue;
                }
                if last.is_none() {
                    yield Ok(item_event(ChangeOperation::Snapshot, Some(&item), &hub));
                    yield Ok(item_event(ChangeOperation::Ready, None, &hub));
                } else {
                    yield Ok(item_event(ChangeOperation::Update, Some(&item), &hub));
                }
                if item.status.is_over() {
                    return;
                }
                last = Some(item);
            }
        };
        Ok(source::own(context, events))
    }

    /// The head of a user's line, 20 items unless told, then again as it changes, at most four times a second.
    async fn call_queue(
        &self,
        context: &Context<'_>,
        user_id: ID,
        call_type: Option<CallType>,
        first: Option<i32>,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<CallQueueEvent>> {
        // Whatever the cursor: the present state is everything.
        let _ = after;
        let principal = context.principal()?;
        principal.require_company()?;
        let user_id = input::name("userId", &user_id)?;
        let size = page::size("first", first)?;
        let (queue, hub) = (context.call_queue(), context.sources().hub.clone());
        let values = queue.watch_queue(context.sources(), principal, &user_id, call_type, size);
        let events = stream! {
            let mut values = pin!(values);
            let mut last: Option<Arc<QueueHead>> = None;
            while let Some(value) = values.next().await {
                let head = match value {
                    Ok(head) => head,
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                };
                if last.as_ref().is_some_and(|last| last.shows_the_same(&head)) {
                    continue;
                }
                if last.is_none() {
                    yield Ok(queue_event(ChangeOperation::Snapshot, &user_id, &head, &hub));
                    yield Ok(queue_event(ChangeOperation::Ready, &user_id, &head, &hub));
                } else {
                    yield Ok(queue_event(ChangeOperation::Update, &user_id, &head, &hub));
                }
                last = Some(head);
            }
        };
        Ok(source::own(context, events))
    }

    /// A campaign as it is, then every change of it and of its progress.
    async fn campaign_status(
        &self,
        context: &Context<'_>,
        id: Uuid,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<StreamEvent<Campaign>>> {
        let principal = context.principal()?;
        principal.require_company()?;
        Ok(source::events(context, CampaignFeed { principal: Arc::clone(principal), id }, after))
    }
}
