//! `createCampaign`.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{CampaignRecord, CampaignStatus, record::CAMPAIGN_CREATED, sql};
use crate::{
    call::sql as call_sql,
    call_queue::{CallQueue, slots},
    platform::{
        auth::Principal,
        clock,
        error::{Error, Result},
        unit::{Lines, Unit, Verb},
    },
};

/// A campaign to create. Its fields are within their bounds.
#[derive(Debug, Clone)]
pub struct NewCampaign {
    /// Whose slots its calls take.
    pub user_id: String,
    /// Who speaks on the company's side, by an id of its own.
    pub agent_id: String,
    /// A name for people to read.
    pub name: String,
    /// How far it is: not COMPLETED, not CANCELED.
    pub status: CampaignStatus,
    /// When its window opens.
    pub first_call_time: String,
    /// When its window closes.
    pub last_call_time: String,
    /// The window's time zone, by its name in the IANA database, such as `Europe/Berlin`.
    pub time_zone: String,
    /// New tries of a contact.
    pub max_retries: i32,
    /// Between two tries.
    pub retry_interval_minutes: i32,
    /// Its share among its user's campaigns.
    pub weight: i32,
    /// When it starts; needed if it is SCHEDULED.
    pub starts_at: Option<OffsetDateTime>,
}

struct Create {
    company_id: Uuid,
    actor: String,
    id: Uuid,
    new: NewCampaign,
}

impl Verb for Create {
    type Outcome = CampaignRecord;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<CampaignRecord> {
        slots::lock(unit, self.company_id).await?;
        let now = call_sql::now(unit.connection()).await?;
        let new = self.new.clone();
        let mut campaign = CampaignRecord {
            company_id: self.company_id,
            id: self.id,
            user_id: new.user_id,
            agent_id: new.agent_id,
            name: new.name,
            status: new.status,
            first_call_time: new.first_call_time,
            last_call_time: new.last_call_time,
            time_zone: new.time_zone,
            max_retries: new.max_retries,
            retry_interval_minutes: new.retry_interval_minutes,
            weight: new.weight,
            starts_at: new.starts_at,
            is_window_open: true,
            window_turns_at: None,
            queued: 0,
            processing: 0,
            completed: 0,
            failed: 0,
            canceled: 0,
            skipped: 0,
            version: 1,
            inserted_at: now,
            updated_at: now,
        };
        campaign.turn_window(now)?;
        sql::insert(unit.connection(), &campaign).await?;
        unit.changes().record(CAMPAIGN_CREATED, Some(&self.actor), &campaign, None)?;
        unit.changes().count("switchboard_campaigns_created_total", &[]);
        Ok(campaign)
    }

    fn lines(&self) -> Lines {
        slots::lines(self.company_id, &self.actor)
    }
}

/// Checks a status that a request may give.
pub(super) fn check(status: CampaignStatus, starts_at: Option<OffsetDateTime>) -> Result<()> {
    if status == CampaignStatus::Completed {
        return Err(Error::invalid("status", "a campaign completes by itself"));
    }
    if status == CampaignStatus::Scheduled && starts_at.is_none() {
        return Err(Error::invalid("startsAt", "SCHEDULED needs it"));
    }
    Ok(())
}

/// Checks the status that a change leads to.
pub(super) fn check_change(
    before: CampaignStatus,
    after: CampaignStatus,
    starts_at: Option<OffsetDateTime>,
) -> Result<()> {
    if before == after && after == CampaignStatus::Completed { Ok(()) } else { check(after, starts_at) }
}

impl CallQueue {
    /// Creates a campaign.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `BAD_USER_INPUT` for a status that it cannot begin with.
    #[tracing::instrument(name = "campaign.create", skip_all)]
    pub async fn create_campaign(&self, principal: &Principal, new: NewCampaign) -> Result<CampaignRecord> {
        principal.require_company()?;
        check(new.status, new.starts_at)?;
        if new.status == CampaignStatus::Canceled {
            return Err(Error::invalid("status", "a campaign is not created CANCELED"));
        }
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        self.work.run(Create { company_id, actor, id: clock::new_id(), new }).await
    }
}
