//! The statements of the queries, on the caller's share of the connections.

use std::sync::Arc;

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::{CampaignRecord, CampaignStatus, sql};
use crate::platform::{
    batch::{Reading, Reads},
    error::Result,
    unit::UnitOfWork,
};

/// A page of campaigns: whose, which, from where, how many.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CampaignList {
    pub(super) company_id: Uuid,
    pub(super) user_id: Option<String>,
    pub(super) status: Option<Vec<CampaignStatus>>,
    pub(super) before: Option<Uuid>,
    pub(super) limit: usize,
}

/// One coalescer for each kind of read. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::call_queue) struct CampaignReads {
    campaigns: Reads<Uuid, Uuid, Arc<CampaignRecord>>,
    lists: Reads<CampaignList, (), Vec<Arc<CampaignRecord>>>,
}

impl CampaignReads {
    /// Reads of this database.
    pub(in crate::call_queue) fn new(work: &UnitOfWork) -> Self {
        Self {
            campaigns: Reads::each(
                "campaign",
                work.pool().clone(),
                work.readers().clone(),
                |_| size_of::<CampaignRecord>(),
                |connection, company_id, id| {
                    async move { Ok(sql::find(connection, company_id, *id).await?.map(Arc::new)) }.boxed()
                },
            ),
            lists: Reads::each(
                "campaigns",
                work.pool().clone(),
                work.readers().clone(),
                |list| list.len() * size_of::<CampaignRecord>(),
                |connection, list, ()| {
                    async move {
                        let CampaignList { company_id, user_id, status, before, limit } = list;
                        let (user_id, status) = (user_id.as_deref(), status.as_deref());
                        let found = sql::list(connection, company_id, user_id, status, before, limit).await?;
                        Ok(Some(found.into_iter().map(Arc::new).collect()))
                    }
                    .boxed()
                },
            ),
        }
    }

    /// The campaign of this id; `None` if the company has none.
    pub(super) async fn one(
        &self,
        reading: &Reading,
        company_id: Uuid,
        id: Uuid,
    ) -> Result<Option<Arc<CampaignRecord>>> {
        self.campaigns.get_for(reading, company_id, id).await
    }

    /// A page of campaigns, newest first.
    pub(super) async fn list(&self, reading: &Reading, list: CampaignList) -> Result<Vec<Arc<CampaignRecord>>> {
        Ok(self.lists.get_for(reading, list, ()).await?.unwrap_or_default())
    }
}
