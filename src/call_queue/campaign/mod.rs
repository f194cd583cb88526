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
mod reads;
pub(super) mod record;
mod sql;
mod timers;
mod update;
pub mod window;

pub use create::NewCampaign;
pub use enqueue::{ContactFailure, Enqueued, NewContact};
pub use feed::CampaignFeed;
pub(super) use reads::CampaignReads;
pub use record::{CAMPAIGN, CampaignRecord, CampaignStatus};
pub(super) use timers::handlers;
pub use update::CampaignPatch;

use std::sync::Arc;

use uuid::Uuid;

use self::reads::CampaignList;
use super::CallQueue;
use crate::platform::{auth::Principal, batch::Reading, error::Result, graphql::page::Page, unit::Unit};

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
    pub async fn campaign(
        &self,
        reading: &Reading,
        principal: &Principal,
        id: Uuid,
    ) -> Result<Option<Arc<CampaignRecord>>> {
        principal.require_company()?;
        self.campaign_reads.one(reading, principal.company_id, id).await
    }

    /// Campaigns, newest first; of one user, and in some states, if told.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn campaigns(
        &self,
        reading: &Reading,
        principal: &Principal,
        user_id: Option<String>,
        status: Option<Vec<CampaignStatus>>,
        before: Option<Uuid>,
        size: usize,
    ) -> Result<Page<Arc<CampaignRecord>>> {
        principal.require_company()?;
        let list = CampaignList { company_id: principal.company_id, user_id, status, before, limit: size + 1 };
        Ok(Page::forward(self.campaign_reads.list(reading, list).await?, size, before.is_some()))
    }
}
