//! Live views of the queue: one item with its place, the head of a user's lines.
//!
//! They are computed again after events of the user's calls and campaigns and of limits, and when time alone changes the
//! order: campaigns have waited for long enough, a retry is due. At most four times a second, and once for all who watch the
//! same. Items of one user are one computation, however many of them are watched.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_stream::try_stream;
use futures_util::{Stream, future::BoxFuture};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{CALL_LIMITS, CallQueue, QueueItem, Status, campaign::CAMPAIGN, sql};
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

/// The queue of a user: company and user.
type QueueKey = (Uuid, String);
/// Places of all items of a queue that are watched.
pub(super) type LiveItems = Derived<QueueKey, Places>;
/// Heads that are being watched, by company, user, type and size.
pub(super) type LiveQueues = Derived<(Uuid, String, Option<CallType>, usize), QueueHead>;

/// The head of a user's lines.
#[derive(Debug, Clone)]
pub struct QueueHead {
    /// Counters of the user.
    pub status: Status,
    /// The items that will be dispatched first, in this order.
    pub items: Vec<QueueItem>,
    /// After what time the order changes although nothing happens.
    changes_in: Option<Duration>,
}

impl QueueHead {
    /// True if a client would be shown the same.
    pub fn shows_the_same(&self, other: &Self) -> bool {
        self.status == other.status && self.items == other.items
    }
}

/// The items of a queue that were watched when they were read; `None`: there is no such item.
#[derive(Debug)]
pub(super) struct Places {
    items: HashMap<Uuid, Option<QueueItem>>,
    changes_in: Option<Duration>,
}

/// How often each item is watched, by queue. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched(Arc<Mutex<HashMap<QueueKey, HashMap<Uuid, usize>>>>);

impl Watched {
    fn all(&self) -> MutexGuard<'_, HashMap<QueueKey, HashMap<Uuid, usize>>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Computes this item's place too, until the guard is dropped.
    fn add(&self, queue: &QueueKey, id: Uuid) -> Watching {
        *self.all().entry(queue.clone()).or_default().entry(id).or_default() += 1;
        Watching { watched: self.clone(), queue: queue.clone(), id }
    }

    fn of(&self, queue: &QueueKey) -> Vec<Uuid> {
        self.all().get(queue).map(|items| items.keys().copied().collect()).unwrap_or_default()
    }
}

/// One watcher of an item.
struct Watching {
    watched: Watched,
    queue: QueueKey,
    id: Uuid,
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut all = self.watched.all();
        let Some(items) = all.get_mut(&self.queue) else { return };
        if let Some(count) = items.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                items.remove(&self.id);
            }
        }
        if items.is_empty() {
            all.remove(&self.queue);
        }
    }
}

/// What changes the order and the waits of a user's calls.
fn of_user(company_id: Uuid, user_id: &str) -> Vec<Interest> {
    let of_user = || Scope::Field("userId", user_id.to_owned());
    vec![
        Interest { company_id, subject_type: CALL, scope: of_user() },
        Interest { company_id, subject_type: CAMPAIGN, scope: of_user() },
        Interest { company_id, subject_type: CALL_LIMITS, scope: Scope::All },
    ]
}

/// Reads all items of a queue that are watched, for a watcher of one of them.
struct ReadPlaces {
    queue: QueueKey,
    id: Uuid,
    watched: Watched,
}

impl Derive for ReadPlaces {
    type Value = Places;

    fn interests(&self) -> Vec<Interest> {
        let (company_id, user_id) = &self.queue;
        of_user(*company_id, user_id)
    }

    fn compute<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Places>> {
        Box::pin(async move {
            let (company_id, user_id) = &self.queue;
            let ids = self.watched.of(&self.queue);
            let changes_in = sql::changes_in(connection, *company_id, user_id).await?;
            let found = sql::find_items(connection, *company_id, &ids).await?;
            let mut items: HashMap<Uuid, Option<QueueItem>> = ids.into_iter().map(|id| (id, None)).collect();
            items.extend(found.into_iter().map(|item| (item.id, Some(item))));
            Ok(Places { items, changes_in })
        })
    }

    fn changes_in(&self, places: &Places) -> Option<Duration> {
        places.changes_in
    }

    fn covers(&self, places: &Places) -> bool {
        places.items.contains_key(&self.id)
    }
}

/// Reads the head of a user's lines.
struct ReadQueue {
    company_id: Uuid,
    user_id: String,
    call_type: Option<CallType>,
    size: usize,
}

impl Derive for ReadQueue {
    type Value = QueueHead;

    fn interests(&self) -> Vec<Interest> {
        of_user(self.company_id, &self.user_id)
    }

    fn compute<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<QueueHead>> {
        Box::pin(async move {
            let (company_id, user_id) = (self.company_id, self.user_id.as_str());
            let changes_in = sql::changes_in(connection, company_id, user_id).await?;
            let status = sql::status(connection, company_id, user_id).await?;
            let ids = sql::head_items(connection, company_id, user_id, self.call_type, self.size).await?;
            let mut items = sql::find_items(connection, company_id, &ids).await?;
            items.sort_by_key(|item| item.position);
            items.truncate(self.size);
            Ok(QueueHead { status, items, changes_in })
        })
    }

    fn changes_in(&self, head: &QueueHead) -> Option<Duration> {
        head.changes_in
    }
}

impl CallQueue {
    /// An item as it is, then again as its place and its wait change. Ends if it is gone. The caller's rights were checked
    /// when it got the item.
    pub(super) fn watch_item(
        &self,
        sources: &Sources,
        item: &QueueItem,
    ) -> impl Stream<Item = Result<QueueItem>> + Send + use<> {
        let (queue, id) = ((item.company_id, item.user_id.clone()), item.id);
        // Before the first value: it has this item.
        let watching = self.watched.add(&queue, id);
        let read = ReadPlaces { queue: queue.clone(), id, watched: self.watched.clone() };
        let values = self.live_items.watch(sources, queue, read);
        try_stream! {
            let _watching = watching;
            for await places in values {
                match places?.items.get(&id) {
                    Some(Some(item)) => yield item.clone(),
                    _ => return,
                }
            }
        }
    }

    /// The head of a user's lines as it is, then again as it changes. The caller's rights were checked.
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
