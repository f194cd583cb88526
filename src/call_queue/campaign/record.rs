//! The flat record of a campaign: the row, the payload of its events, and what the API shows.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::window::Window;
use crate::platform::{
    concept::SubjectType,
    error::{Error, Result},
    unit::Record,
};

/// Subject of a campaign's events.
pub const CAMPAIGN: &str = "campaign";
/// Purpose of the timer at which a campaign's window opens or closes.
pub(super) const WINDOW: &str = "window";
/// Purpose of the timer at which a scheduled campaign starts.
pub(super) const START: &str = "start";

pub(super) const CAMPAIGN_CREATED: &str = "CampaignCreated";
pub(super) const CAMPAIGN_UPDATED: &str = "CampaignUpdated";
pub(super) const CAMPAIGN_PROGRESSED: &str = "CampaignProgressed";
pub(super) const CAMPAIGN_STARTED: &str = "CampaignStarted";
pub(super) const CAMPAIGN_WINDOW_TURNED: &str = "CampaignWindowTurned";

/// The subject type with its event types.
pub(in crate::call_queue) const SUBJECT: SubjectType = SubjectType {
    name: CAMPAIGN,
    event_types: &[CAMPAIGN_CREATED, CAMPAIGN_UPDATED, CAMPAIGN_PROGRESSED, CAMPAIGN_STARTED, CAMPAIGN_WINDOW_TURNED],
};

/// How far a campaign is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, async_graphql::Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CampaignStatus {
    /// It is being prepared.
    Draft,
    /// It becomes ACTIVE at its time.
    Scheduled,
    /// Its calls are made within its window.
    Active,
    /// It makes no calls for now.
    Paused,
    /// Nothing of it is open. The next contact makes it ACTIVE.
    Completed,
    /// It makes no calls any more.
    Canceled,
}

impl CampaignStatus {
    /// As in the database and in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "DRAFT",
            Self::Scheduled => "SCHEDULED",
            Self::Active => "ACTIVE",
            Self::Paused => "PAUSED",
            Self::Completed => "COMPLETED",
            Self::Canceled => "CANCELED",
        }
    }
}

/// A list of contacts to be called within a daily window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CampaignRecord {
    /// First part of the key.
    pub company_id: Uuid,
    /// Our id of the campaign.
    pub id: Uuid,
    /// Whose slots its calls take.
    pub user_id: String,
    /// Who speaks on the company's side, by an id of its own.
    pub agent_id: String,
    /// A name for people to read.
    pub name: String,
    /// How far it is.
    pub status: CampaignStatus,
    /// When its window opens, HH:MM.
    pub first_call_time: String,
    /// When its window closes, HH:MM.
    pub last_call_time: String,
    /// The window's time zone, by its name in the IANA database, such as `Europe/Berlin`.
    pub time_zone: String,
    /// New tries of a contact.
    pub max_retries: i32,
    /// Between two tries.
    pub retry_interval_minutes: i32,
    /// Its share among its user's campaigns.
    pub weight: i32,
    /// When it starts, if it is scheduled.
    #[serde(with = "time::serde::rfc3339::option")]
    pub starts_at: Option<OffsetDateTime>,
    /// Calls may be made at this time of the day.
    pub is_window_open: bool,
    /// When that changes.
    #[serde(with = "time::serde::rfc3339::option")]
    pub window_turns_at: Option<OffsetDateTime>,
    /// Items that wait.
    pub queued: i32,
    /// Items that have a slot.
    pub processing: i32,
    /// Items that were reached.
    pub completed: i32,
    /// Items that failed for good.
    pub failed: i32,
    /// Items that were canceled.
    pub canceled: i32,
    /// Items whose number a dialer refused.
    pub skipped: i32,
    /// Raised by one at each event.
    pub version: i32,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl CampaignRecord {
    /// True if its items may be dispatched now.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.status, CampaignStatus::Active | CampaignStatus::Completed) && self.is_window_open
    }

    /// Computes the window at `now`.
    pub(super) fn turn_window(&mut self, now: OffsetDateTime) -> Result<()> {
        let window = Window::new(&self.first_call_time, &self.last_call_time, &self.time_zone);
        let window = window.ok_or_else(|| Error::internal("a stored campaign has no window"))?;
        self.is_window_open = window.is_open(now);
        self.window_turns_at = window.turns_after(now);
        Ok(())
    }
}

impl Record for CampaignRecord {
    const SUBJECT_TYPE: &'static str = CAMPAIGN;

    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn subject_id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i32 {
        self.version
    }

    fn scopes(&self) -> Vec<(&'static str, String)> {
        vec![("userId", self.user_id.clone())]
    }

    fn timers(&self) -> Vec<(&'static str, OffsetDateTime)> {
        if self.status == CampaignStatus::Canceled {
            return Vec::new();
        }
        let start = self.starts_at.filter(|_| self.status == CampaignStatus::Scheduled).map(|at| (START, at));
        let window = self.window_turns_at.map(|at| (WINDOW, at));
        start.into_iter().chain(window).collect()
    }
}
