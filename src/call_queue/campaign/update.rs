//! `updateCampaign`: also pauses, resumes and cancels.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{CampaignRecord, CampaignStatus, change, create, record::CAMPAIGN_UPDATED, sql};
use crate::{
    call::sql as call_sql,
    call_queue::{CallQueue, slots},
    platform::{
        auth::Principal,
        error::{Error, Result},
        unit::{Lines, Unit, Verb},
    },
};

/// What is changed; absent keeps. Its fields are within their bounds.
#[derive(Debug, Clone, Default)]
pub struct CampaignPatch {
    /// A name for people to read.
    pub name: Option<String>,
    /// Who speaks in calls that are dispatched from now on.
    pub agent_id: Option<String>,
    /// How far it is.
    pub status: Option<CampaignStatus>,
    /// When its window opens.
    pub first_call_time: Option<String>,
    /// When its window closes.
    pub last_call_time: Option<String>,
    /// The window's time zone, by its name in the IANA database, such as `Europe/Berlin`.
    pub time_zone: Option<String>,
    /// New tries of a contact.
    pub max_retries: Option<i32>,
    /// Between two tries.
    pub retry_interval_minutes: Option<i32>,
    /// Its share among its user's campaigns.
    pub weight: Option<i32>,
    /// When it starts.
    pub starts_at: Option<OffsetDateTime>,
}

impl CampaignPatch {
    fn apply(&self, campaign: &mut CampaignRecord) {
        fn set<T: Clone>(field: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                field.clone_from(value);
            }
        }
        set(&mut campaign.name, self.name.as_ref());
        set(&mut campaign.agent_id, self.agent_id.as_ref());
        set(&mut campaign.status, self.status.as_ref());
        set(&mut campaign.first_call_time, self.first_call_time.as_ref());
        set(&mut campaign.last_call_time, self.last_call_time.as_ref());
        set(&mut campaign.time_zone, self.time_zone.as_ref());
        set(&mut campaign.max_retries, self.max_retries.as_ref());
        set(&mut campaign.retry_interval_minutes, self.retry_interval_minutes.as_ref());
        set(&mut campaign.weight, self.weight.as_ref());
        if self.starts_at.is_some() {
            campaign.starts_at = self.starts_at;
        }
    }
}

struct Update {
    company_id: Uuid,
    actor: String,
    id: Uuid,
    patch: CampaignPatch,
}

impl Verb for Update {
    type Outcome = CampaignRecord;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<CampaignRecord> {
        slots::lock(unit, self.company_id).await?;
        let found = sql::find(unit.connection(), self.company_id, self.id).await?;
        let before = found.ok_or_else(|| Error::not_found("campaign"))?;
        let mut campaign = before.clone();
        self.patch.apply(&mut campaign);
        if before.status == CampaignStatus::Canceled && campaign != before {
            return Err(Error::conflict("the campaign is canceled"));
        }
        create::check_change(before.status, campaign.status, campaign.starts_at)?;
        change::window(&campaign.first_call_time, &campaign.last_call_time, &campaign.time_zone)?;
        if campaign == before {
            return Ok(campaign);
        }
        campaign.version += 1;
        campaign.updated_at = call_sql::now(unit.connection()).await?;
        let now = campaign.updated_at;
        campaign.turn_window(now)?;
        if campaign.status == CampaignStatus::Canceled {
            let canceled = slots::cancel_line(unit, self.company_id, campaign.id).await?;
            campaign.canceled += canceled;
            campaign.queued = 0;
        }
        sql::update(unit.connection(), &campaign).await?;
        unit.changes().record(CAMPAIGN_UPDATED, Some(&self.actor), &campaign, Some(&before))?;
        slots::dispatch(unit, self.company_id).await?;
        let found = sql::find(unit.connection(), self.company_id, self.id).await?;
        found.ok_or_else(|| Error::internal("a changed campaign is gone"))
    }

    fn lines(&self) -> Lines {
        slots::lines(self.company_id, &self.actor)
    }
}

impl CallQueue {
    /// Changes a campaign; pauses, resumes and cancels it.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `NOT_FOUND`; `BAD_USER_INPUT`; `CONFLICT` for a canceled one.
    #[tracing::instrument(name = "campaign.update", skip_all)]
    pub async fn update_campaign(
        &self,
        principal: &Principal,
        id: Uuid,
        patch: CampaignPatch,
    ) -> Result<CampaignRecord> {
        principal.require_company()?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        self.work.run(Update { company_id, actor, id, patch }).await
    }
}
