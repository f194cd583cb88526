//! The statements of the queries, on the caller's share of the connections.

use std::sync::Arc;

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::{QueueItem, QueueUser, Status, UserPlace, sample, sample::Sample, sql};
use crate::{
    call::rules::CallType,
    platform::{
        batch::{Reading, Reads},
        error::{Error, Result},
        unit::UnitOfWork,
    },
};

/// A page of users: whose, from where, how many.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct UserList {
    pub(super) company_id: Uuid,
    pub(super) after: Option<UserPlace>,
    pub(super) limit: usize,
}

/// A page of a user's open items: which, from where, how many.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct ItemList {
    pub(super) company_id: Uuid,
    pub(super) user_id: String,
    pub(super) call_type: Option<CallType>,
    pub(super) after: Option<Uuid>,
    pub(super) limit: usize,
}

/// The samples of a user, or of the company, of the last minutes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct SampleList {
    pub(super) company_id: Uuid,
    pub(super) user_id: Option<String>,
    pub(super) minutes: i32,
}

/// One coalescer for each kind of read. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct QueueReads {
    users: Reads<UserList, (), Vec<QueueUser>>,
    items: Reads<ItemList, (), Vec<Arc<QueueItem>>>,
    samples: Reads<SampleList, (), Vec<Sample>>,
    /// Of a company's users.
    statuses: Reads<Uuid, String, Status>,
    /// Of a company's users.
    violations: Reads<Uuid, String, i64>,
}

impl QueueReads {
    /// Reads of this database.
    pub(super) fn new(work: &UnitOfWork) -> Self {
        let pool = || work.pool().clone();
        let readers = || work.readers().clone();
        Self {
            users: Reads::each(
                "call_queue_users",
                pool(),
                readers(),
                |list| list.len() * size_of::<QueueUser>(),
                |connection, list, ()| {
                    async move {
                        let UserList { company_id, after, limit } = list;
                        let place = after.as_ref().map(|place| (place.queued, place.user_id.as_str()));
                        Ok(Some(sql::list_users(connection, company_id, place, limit).await?))
                    }
                    .boxed()
                },
            ),
            items: Reads::each(
                "call_queue_items",
                pool(),
                readers(),
                |list| list.len() * size_of::<QueueItem>(),
                |connection, list, ()| {
                    async move {
                        let ItemList { company_id, user_id, call_type, after, limit } = list;
                        let ids = sql::list_items(connection, company_id, &user_id, call_type, after, limit).await?;
                        let found = sql::find_items(connection, company_id, &ids).await?;
                        Ok(Some(found.into_iter().map(Arc::new).collect()))
                    }
                    .boxed()
                },
            ),
            samples: Reads::each(
                "call_queue_samples",
                pool(),
                readers(),
                |list| list.len() * size_of::<Sample>(),
                |connection, list, ()| {
                    async move {
                        let SampleList { company_id, user_id, minutes } = list;
                        Ok(Some(sample::sql::list(connection, company_id, user_id.as_deref(), minutes).await?))
                    }
                    .boxed()
                },
            ),
            statuses: Reads::each(
                "call_queue_status",
                pool(),
                readers(),
                |_| size_of::<Status>(),
                |connection, company_id, user_id: &String| {
                    async move { sql::status(connection, company_id, user_id).await.map(Some) }.boxed()
                },
            ),
            violations: Reads::each(
                "call_queue_violations",
                pool(),
                readers(),
                |_| size_of::<i64>(),
                |connection, company_id, user_id: &String| {
                    async move { sql::priority_violations(connection, company_id, user_id).await.map(Some) }.boxed()
                },
            ),
        }
    }

    /// A page of users, the longest line first.
    pub(super) async fn users(&self, reading: &Reading, list: UserList) -> Result<Vec<QueueUser>> {
        Ok(self.users.get_for(reading, list, ()).await?.unwrap_or_default())
    }

    /// A page of a user's open items, oldest first.
    pub(super) async fn items(&self, reading: &Reading, list: ItemList) -> Result<Vec<Arc<QueueItem>>> {
        Ok(self.items.get_for(reading, list, ()).await?.unwrap_or_default())
    }

    /// Samples, oldest first.
    pub(super) async fn samples(&self, reading: &Reading, list: SampleList) -> Result<Vec<Sample>> {
        Ok(self.samples.get_for(reading, list, ()).await?.unwrap_or_default())
    }

    /// Limits and counters of a user.
    pub(super) async fn status(&self, reading: &Reading, company_id: Uuid, user_id: &str) -> Result<Status> {
        let found = self.statuses.get_for(reading, company_id, user_id.to_owned()).await?;
        found.ok_or_else(|| Error::internal("a user has no status"))
    }

    /// Campaign calls of a user that were dispatched before a direct call without a reason.
    pub(super) async fn violations(&self, reading: &Reading, company_id: Uuid, user_id: &str) -> Result<i64> {
        Ok(self.violations.get_for(reading, company_id, user_id.to_owned()).await?.unwrap_or_default())
    }
}
