//! Items, states and limits of the queue, as the API shows them.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};
use uuid::Uuid;

use super::CallQueueContextExt as _;
use crate::{
    call::{CallName, graphql::Call, rules::CallType},
    call_queue::{QueueBlock, QueueItem, QueueStatus, QueueUser, Sample, Status},
    platform::{
        error::{Error, Result},
        graphql::{context::ContextExt as _, directives, scalars::Datetime},
    },
};

/// Priority of direct calls; campaigns' have 0.
const DIRECT_PRIORITY: i32 = 100;

/// The object `CallQueueItem` of the schema.
pub struct CallQueueItem(Arc<QueueItem>);

impl From<QueueItem> for CallQueueItem {
    fn from(item: QueueItem) -> Self {
        Self(Arc::new(item))
    }
}

impl From<Arc<QueueItem>> for CallQueueItem {
    fn from(item: Arc<QueueItem>) -> Self {
        Self(item)
    }
}

fn count(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "the conversion from f64 saturates")]
fn seconds(value: f64) -> i32 {
    value.ceil() as i32
}

/// A call that waits for a slot, or has waited.
#[Object]
impl CallQueueItem {
    /// Our id; an item keeps it over its tries.
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// Its call, of this attempt.
    async fn call_id(&self) -> Uuid {
        self.0.call_id
    }

    /// Its call, of this attempt.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn call(&self, context: &Context<'_>) -> Result<Call> {
        let calls = context.data_unchecked::<crate::call::Calls>();
        let call = Box::pin(calls.call(context.principal()?, &CallName::Id(self.0.call_id))).await?;
        call.map(Call::from).ok_or_else(|| Error::internal("an item's call is gone"))
    }

    /// Raised at each change of the item; places change without it.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// Whose call it is.
    async fn user_id(&self) -> ID {
        self.0.user_id.as_str().into()
    }

    /// Direct or a campaign's.
    async fn call_type(&self) -> CallType {
        self.0.call_type
    }

    /// Whose campaign's it is; null for a direct call.
    async fn campaign_id(&self) -> Option<Uuid> {
        self.0.campaign_id
    }

    /// When its next try is due; null if it waits for a slot only.
    async fn not_before(&self) -> Option<Datetime> {
        self.0.not_before.map(Datetime::from)
    }

    /// Why it may not be dispatched now; null if it may.
    async fn blocked_by(&self) -> Option<QueueBlock> {
        self.0.blocked_by.filter(|_| self.0.status == QueueStatus::Queued)
    }

    /// Which try its call is.
    async fn attempt(&self) -> i32 {
        self.0.attempt
    }

    /// The company's own name for the other side.
    async fn contact_id(&self) -> Option<ID> {
        self.0.contact_id.as_deref().map(ID::from)
    }

    /// The name of the other side.
    async fn contact_name(&self) -> Option<&str> {
        self.0.contact_name.as_deref()
    }

    /// The number of the other side.
    async fn phone_number(&self) -> Option<&str> {
        self.0.phone_number.as_deref()
    }

    /// Why its last call failed; null if none did.
    async fn failure_reason(&self) -> Option<&str> {
        self.0.failure_reason.as_deref()
    }

    /// Direct 100, campaign 0; follows from the type.
    async fn priority(&self) -> i32 {
        if self.0.call_type == CallType::Direct { DIRECT_PRIORITY } else { 0 }
    }

    /// What has become of it.
    async fn status(&self) -> QueueStatus {
        self.0.status
    }

    /// Its place in the order in which its user's calls will be dispatched, from 1; null once it is not queued.
    async fn position(&self) -> Option<i32> {
        self.0.position.map(count)
    }

    /// Its place among its user's items of the same type.
    async fn position_in_type(&self) -> Option<i32> {
        self.0.position_in_type.map(count)
    }

    /// Half of the items in this place wait no longer; null if too little is known.
    async fn estimated_wait_seconds(&self) -> Option<i32> {
        self.0.wait().map(|wait| seconds(wait.p50))
    }

    /// Nine of ten items in this place wait no longer; null if too little is known.
    #[graphql(name = "estimatedWaitSecondsP90")]
    async fn estimated_wait_seconds_p90(&self) -> Option<i32> {
        self.0.wait().map(|wait| seconds(wait.p90))
    }

    /// When it was first queued.
    async fn queued_at(&self) -> Datetime {
        self.0.queued_at.into()
    }
}

/// What of a user waits and what has slots.
pub struct CallQueueStatus {
    pub(super) user_id: String,
    pub(super) status: Status,
}

/// What of a user waits and what has slots.
#[Object]
impl CallQueueStatus {
    /// The same as the user's id: each user has one.
    async fn id(&self) -> ID {
        self.user_id.as_str().into()
    }

    /// Direct and inbound calls.
    async fn direct_calls(&self) -> CallTypeStatus {
        let Status { queued_direct, active_direct, next_direct, .. } = self.status;
        CallTypeStatus { queued: queued_direct, processing: active_direct, next: next_direct }
    }

    /// How many of the campaigns' calls wait and run.
    async fn campaign_calls(&self) -> CallTypeStatus {
        let Status { queued_campaign, active_campaign, next_campaign, .. } = self.status;
        CallTypeStatus { queued: queued_campaign, processing: active_campaign, next: next_campaign }
    }

    /// Campaign calls of the last day that were dispatched while a direct call of the user waited and no campaign of it had
    /// waited long enough. Counted once a minute, from what is written about dispatches. Stays 0.
    #[graphql(directive = directives::cost::apply(directives::LIST))]
    async fn priority_violations(&self, context: &Context<'_>) -> Result<i32> {
        let queue = context.call_queue();
        let (reading, principal) = (context.reading(), context.principal()?);
        let violations = Box::pin(queue.priority_violations(&reading, principal, &self.user_id)).await?;
        Ok(count(violations))
    }

    /// How long the user's last 50 dispatched items had waited on average; null if none was dispatched.
    async fn average_wait_seconds(&self) -> Option<f64> {
        self.status.average_wait()
    }
}

/// What of one type waits and what has slots.
pub struct CallTypeStatus {
    queued: i32,
    processing: i32,
    next: Option<Uuid>,
}

/// What of one type waits and what has slots.
#[Object]
impl CallTypeStatus {
    /// Items that wait, due or not.
    async fn queued(&self) -> i32 {
        self.queued
    }

    /// Calls that have a slot.
    async fn processing(&self) -> i32 {
        self.processing
    }

    /// Waiting and running calls together.
    async fn total(&self) -> i32 {
        self.queued + self.processing
    }

    /// The item of this type that is dispatched first; null if none may be.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn next_call(&self, context: &Context<'_>) -> Result<Option<CallQueueItem>> {
        let Some(id) = self.next else { return Ok(None) };
        let item = Box::pin(context.call_queue().item(context.principal()?, id)).await?;
        Ok(item.map(CallQueueItem::from))
    }
}

/// A user with what waits and what is active.
#[derive(SimpleObject)]
pub struct CallQueueUser {
    /// The same as the user's id: each user has one.
    id: ID,
    /// Whose calls, by an id of the company's own.
    user_id: ID,
    /// What waits and what has slots.
    status: CallQueueStatus,
    /// Limits and what they count.
    concurrency: CallConcurrency,
    /// When the item was queued that is next; null: none may be dispatched.
    oldest_queued_at: Option<Datetime>,
}

impl From<QueueUser> for CallQueueUser {
    fn from(user: QueueUser) -> Self {
        let QueueUser { user_id, status, oldest_queued_at } = user;
        Self {
            id: user_id.as_str().into(),
            user_id: user_id.as_str().into(),
            concurrency: CallConcurrency::new(&user_id, &status),
            status: CallQueueStatus { user_id, status },
            oldest_queued_at: oldest_queued_at.map(Datetime::from),
        }
    }
}

/// Limits of a user and of the company, and what they count.
#[derive(Debug, SimpleObject)]
pub struct CallConcurrency {
    /// The same as the user's id: each user has one.
    id: ID,
    /// Whose calls, by an id of the company's own.
    user_id: ID,
    /// Calls at once of the user.
    limit: i32,
    /// Its calls that have a slot.
    active: i32,
    /// Those that are direct or inbound.
    direct: i32,
    /// Those of campaigns.
    campaign: i32,
    /// Calls that it may begin now.
    available: i32,
    /// Calls at once of the company.
    system_limit: i32,
    /// Its calls that have a slot.
    system_active: i32,
}

impl CallConcurrency {
    pub(super) fn new(user_id: &str, status: &Status) -> Self {
        Self {
            id: user_id.into(),
            user_id: user_id.into(),
            limit: status.user_limit,
            active: status.active_direct + status.active_campaign,
            direct: status.active_direct,
            campaign: status.active_campaign,
            available: status.available(),
            system_limit: status.system_limit,
            system_active: status.system_active,
        }
    }
}

/// What waited and ran at the end of a minute, and what was dispatched in it.
#[derive(Debug, SimpleObject)]
pub struct CallQueueSample {
    /// The end of the minute.
    at: Datetime,
    /// Direct items that waited.
    direct: i32,
    /// Campaigns' items that waited, due or not.
    campaign: i32,
    /// Slots in use.
    active: i32,
    /// Calls that got a slot in the minute, at once or from the line; inbound ones are not counted.
    dispatched: i32,
    /// Half of them had waited for at most so many seconds. New tries are not counted; null if there were no others.
    wait_p50: Option<i32>,
    /// Nine of ten had waited for at most so many seconds.
    wait_p90: Option<i32>,
}

impl From<Sample> for CallQueueSample {
    fn from(sample: Sample) -> Self {
        let Sample { at, direct, campaign, active, dispatched, wait_p50, wait_p90 } = sample;
        Self { at: at.into(), direct, campaign, active, dispatched, wait_p50, wait_p90 }
    }
}
