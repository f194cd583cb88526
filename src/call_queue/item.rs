//! Items of the queue, as the API shows them.

use std::sync::Arc;

use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{CallQueue, sql, wait};
use crate::{
    call::rules::CallType,
    platform::{auth::Principal, batch::Reads, error::Result, unit::UnitOfWork},
};

/// What has become of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, async_graphql::Enum)]
#[graphql(name = "CallQueueItemStatus")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum QueueStatus {
    /// It waits for a slot, or for its next try.
    Queued,
    /// Its call has a slot.
    Processing,
    /// The other side was reached.
    Completed,
    /// It failed for good.
    Failed,
    /// It was canceled.
    Canceled,
    /// A dialer refused its number.
    Skipped,
}

impl QueueStatus {
    /// True for an item of which nothing more becomes.
    pub fn is_over(self) -> bool {
        !matches!(self, Self::Queued | Self::Processing)
    }
}

/// Why an item may not be dispatched now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, async_graphql::Enum)]
#[graphql(name = "CallQueueBlock")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum QueueBlock {
    /// Its campaign is paused.
    Paused,
    /// Its campaign's daily window is closed.
    Window,
    /// Its next try is not due.
    Retry,
    /// Its campaign has not started.
    NotStarted,
}

/// An item as it was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueueItem {
    /// The company that it belongs to, first part of every key.
    pub company_id: Uuid,
    /// Our id; an item keeps it over its tries.
    pub id: Uuid,
    /// Its call, of this attempt.
    pub call_id: Uuid,
    /// Raised at each change.
    pub version: i32,
    /// Whose call it is.
    pub user_id: String,
    /// Direct or a campaign's.
    pub call_type: CallType,
    /// Set if and only if it is a campaign's.
    pub campaign_id: Option<Uuid>,
    /// When its next try is due.
    #[serde(with = "time::serde::rfc3339::option")]
    pub not_before: Option<OffsetDateTime>,
    /// Which try its call is.
    pub attempt: i32,
    /// The company's own name for the other side.
    pub contact_id: Option<String>,
    /// The name of the other side.
    pub contact_name: Option<String>,
    /// The other side, in E.164.
    pub phone_number: Option<String>,
    /// End reason of its last call, if that failed.
    pub failure_reason: Option<String>,
    /// What has become of it.
    pub status: QueueStatus,
    /// When it was first queued.
    #[serde(with = "time::serde::rfc3339")]
    pub queued_at: OffsetDateTime,
    /// Why it may not be dispatched now.
    pub blocked_by: Option<QueueBlock>,
    /// Its place in the order in which its user's calls will be dispatched; null once it is not queued.
    pub position: Option<i64>,
    /// Its place among those of its type.
    pub position_in_type: Option<i64>,
    /// How long its user's last calls held their slots, in milliseconds.
    pub held_ms: Vec<i32>,
    /// Slots of its user.
    pub user_limit: i32,
    /// Slots that its user has in use.
    pub user_active: i32,
    /// Slots of the company.
    pub system_limit: i32,
    /// Users that have a slot or wait for one.
    pub users: i32,
}

impl QueueItem {
    /// How long it will wait; `None`: not enough is known.
    pub fn wait(&self) -> Option<wait::Wait> {
        let slots = wait::slots(self.user_limit, self.user_active, self.system_limit, self.users);
        wait::estimate(&self.held_ms, slots, self.position?)
    }
}

/// Reads for many resolvers at once. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Loaders {
    items: Reads<Uuid, Uuid, Arc<QueueItem>>,
    item_of_call: Reads<Uuid, Uuid, Uuid>,
    leases: Reads<Uuid, Uuid, OffsetDateTime>,
}

impl Loaders {
    pub(super) fn new(work: &UnitOfWork) -> Self {
        Self {
            items: Reads::records("call_queue", work.pool().clone(), |connection, company_id, ids| {
                async move {
                    let found = sql::find_items(connection, company_id, ids).await?;
                    Ok(found.into_iter().map(|item| (item.id, Arc::new(item))).collect())
                }
                .boxed()
            }),
            item_of_call: Reads::records("call_queue_call", work.pool().clone(), |connection, company_id, ids| {
                async move {
                    let mut found = std::collections::HashMap::new();
                    for id in ids {
                        if let Some(item) = sql::item_of_call(connection, company_id, *id).await? {
                            found.insert(*id, item);
                        }
                    }
                    Ok(found)
                }
                .boxed()
            }),
            leases: Reads::records("active_calls", work.pool().clone(), |connection, company_id, ids| {
                async move { Ok(sql::leases(connection, company_id, ids).await?.into_iter().collect()) }.boxed()
            }),
        }
    }
}

impl CallQueue {
    /// One item.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn item(&self, principal: &Principal, id: Uuid) -> Result<Option<Arc<QueueItem>>> {
        principal.require_company()?;
        self.loaders.items.get(principal.company_id, id).await
    }

    /// The item of a call.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn item_of_call(&self, principal: &Principal, call_id: Uuid) -> Result<Option<Arc<QueueItem>>> {
        principal.require_company()?;
        match self.loaders.item_of_call.get(principal.company_id, call_id).await? {
            Some(id) => self.loaders.items.get(principal.company_id, id).await,
            None => Ok(None),
        }
    }

    /// When the lease of a call's slot ends; `None`: it holds none.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn lease_of_call(&self, principal: &Principal, call_id: Uuid) -> Result<Option<OffsetDateTime>> {
        principal.require_company()?;
        self.loaders.leases.get(principal.company_id, call_id).await
    }
}
