//! Campaigns: lists of contacts that are called within a daily window, after direct calls, with retries.
//!
//! ```text
//! DRAFT, SCHEDULED, PAUSED ─► contacts may be added, none is called
//!         │ updateCampaign, or the time it was scheduled for
//!         ▼
//!       ACTIVE ◄──► PAUSED         window open: its line is open, and its head may be dispatched
//!         │ nothing waits, nothing is being called
//!         ▼
//!      COMPLETED ─► ACTIVE by the next contact          CANCELED is final: its line is canceled whole
//! ```
//! The window is computed by servers (`window`), which know calendars; SQL only knows whether the line is open. A timer for
//! each campaign turns it. A line that is closed keeps its numbers.
//!
//! A campaign's counters change with its items. The transaction that changes them appends one event for each campaign, at
//! its end (`settle`).

pub(super) mod change;
mod create;
mod enqueue;
mod feed;
pub(super) mod record;
mod sql;
mod timers;
mod update;
pub mod window;

pub use create::NewCampaign;
pub use enqueue::{ContactFailure, Enqueued, NewContact};
pub use feed::CampaignFeed;
pub use record::{CAMPAIGN, CampaignRecord, CampaignStatus};
pub(super) use timers::handlers;
pub use update::CampaignPatch;

use std::sync::Arc;

use uuid::Uuid;

use super::CallQueue;
use crate::platform::{auth::Principal, error::Result, graphql::page::Page, unit::Unit};

/// Appends the events of campaigns whose counters this transaction changed; one that has nothing open is COMPLETED. The
/// slots are locked.
pub(super) async fn settle(unit: &mut Unit<'_>, company_id: Uuid) -> Result<()> {
    for campaign in sql::settle(unit.connection(), company_id).await? {
        let before = CampaignRecord { version: campaign.version - 1, ..campaign.clone() };
        unit.changes().record(record::CAMPAIGN_PROGRESSED, None, &campaign, Some(&before))?;
    }
    Ok(())
}

impl CallQueue {
    /// One campaign.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn campaign(&self, principal: &Principal, id: Uuid) -> Result<Option<Arc<CampaignRecord>>> {
        principal.require_company()?;
        let mut connection = self.work.pool().acquire().await?;
        Ok(sql::find(&mut connection, principal.company_id, id).await?.map(Arc::new))
    }

    /// Campaigns, newest first; of one user, and in some states, if told.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn campaigns(
        &self,
        principal: &Principal,
        user_id: Option<&str>,
        status: Option<&[CampaignStatus]>,
        before: Option<Uuid>,
        size: usize,
    ) -> Result<Page<CampaignRecord>> {
        principal.require_company()?;
        let mut connection = self.work.pool().acquire().await?;
        let found = sql::list(&mut connection, principal.company_id, user_id, status, before, size + 1).await?;
        Ok(Page::forward(found, size, before.is_some()))
    }
}
