//! Live views of the queue: one item with its place, the head of a user's lines. Computed again after events of the user's
//! calls, at most four times a second, once for all who watch the same.

use std::sync::Arc;

use futures_util::{Stream, future::BoxFuture};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{CallQueue, QueueItem, Status, sql};
use crate::{
    call::{CALL, rules::CallType},
    platform::{
        auth::Principal,
        error::Result,
        event::{Interest, hub::Scope},
        subscription::{
            Sources,
            derived::{Derive, Derived},
        },
    },
};

/// Items that are being watched, by company and item.
pub(super) type LiveItems = Derived<(Uuid, Uuid), Option<QueueItem>>;
/// Heads that are being watched, by company, user, type and size.
pub(super) type LiveQueues = Derived<(Uuid, String, Option<CallType>, usize), QueueHead>;

/// The head of a user's lines.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueHead {
    /// Counters of the user.
    pub status: Status,
    /// The items that will be dispatched first, in this order.
    pub items: Vec<QueueItem>,
}

/// Changes of a user's calls.
fn of_user(company_id: Uuid, user_id: &str) -> Vec<Interest> {
    vec![Interest { company_id, subject_type: CALL, scope: Scope::Field("userId", user_id.to_owned()) }]
}

/// Reads one item.
pub(super) struct ReadItem {
    pub(super) company_id: Uuid,
    pub(super) id: Uuid,
    /// Whose it is: its place changes with the user's other calls.
    pub(super) user_id: String,
}

impl Derive for ReadItem {
    type Value = Option<QueueItem>;

    fn interests(&self) -> Vec<Interest> {
        of_user(self.company_id, &self.user_id)
    }

    fn compute<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Self::Value>> {
        Box::pin(async move { Ok(sql::find_items(connection, self.company_id, &[self.id]).await?.pop()) })
    }
}

/// Reads the head of a user's lines.
pub(super) struct ReadQueue {
    pub(super) company_id: Uuid,
    pub(super) user_id: String,
    pub(super) call_type: Option<CallType>,
    pub(super) size: usize,
}

impl Derive for ReadQueue {
    type Value = QueueHead;

    fn interests(&self) -> Vec<Interest> {
        of_user(self.company_id, &self.user_id)
    }

    fn compute<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<QueueHead>> {
        Box::pin(async move {
            let (company_id, user_id) = (self.company_id, self.user_id.as_str());
            let status = sql::status(connection, company_id, user_id).await?;
            let ids = sql::head_items(connection, company_id, user_id, self.call_type, self.size).await?;
            let mut items = sql::find_items(connection, company_id, &ids).await?;
            items.sort_by_key(|item| item.position);
            items.truncate(self.size);
            Ok(QueueHead { status, items })
        })
    }
}

impl CallQueue {
    /// An item as it is, then again when something happened to its user's calls. The caller's rights were checked when it
    /// got the item.
    pub(super) fn watch_item(
        &self,
        sources: &Sources,
        item: &QueueItem,
    ) -> impl Stream<Item = Result<Arc<Option<QueueItem>>>> + Send + use<> {
        let (company_id, id) = (item.company_id, item.id);
        let read = ReadItem { company_id, id, user_id: item.user_id.clone() };
        self.live_items.watch(sources, (company_id, id), read)
    }

    /// The head of a user's lines as it is, then again when something happened to the user's calls. The caller's rights
    /// were checked.
    pub(super) fn watch_queue(
        &self,
        sources: &Sources,
        principal: &Principal,
        user_id: &str,
        call_type: Option<CallType>,
        size: usize,
    ) -> impl Stream<Item = Result<Arc<QueueHead>>> + Send + use<> {
        let company_id = principal.company_id;
        let read = ReadQueue { company_id, user_id: user_id.to_owned(), call_type, size };
        self.live_queues.watch(sources, (company_id, user_id.to_owned(), call_type, size), read)
    }
}
