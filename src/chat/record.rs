//! The flat records of races and chats: rows, event payloads, and what the API shows.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    CHAT, RACE,
    rules::{ChatStatus, CloseReason, RaceState},
};
use crate::platform::unit::Record;

/// Purpose of the timer that flags an offer missed.
pub(super) const MISS: &str = "miss";
/// Purpose of the timer that expires a race.
pub(super) const EXPIRE: &str = "expire";

/// One offer of a race to one contract, and the conversation if its agent won. Tells by itself who may see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatRecord {
    /// The tenant.
    pub company_id: Uuid,
    /// The chat.
    pub id: Uuid,
    /// Its race.
    pub key: Uuid,
    /// The race's website.
    pub website_id: Uuid,
    /// Whom it is offered to.
    pub contract_id: Uuid,
    /// The contract's agent; follows the contract until the chat is finished.
    pub agent_id: Option<Uuid>,
    /// The race's owner.
    pub visitor: String,
    /// Where it stands.
    pub status: ChatStatus,
    /// It was not answered in the contract's time. A flag, never an end.
    pub missed: bool,
    /// Why it is over.
    pub close_reason: Option<CloseReason>,
    /// What the customer asked.
    pub headline: String,
    /// As the customer gave it.
    pub customer_name: String,
    /// The customer's.
    pub ip_address: Option<IpNet>,
    /// Remote address of the connection that asked.
    #[serde(default)]
    pub created_from: Option<IpNet>,
    /// By the customer, 1 to 5.
    pub rating: Option<i32>,
    /// When it is flagged missed, unless it is started or finished before.
    #[serde(with = "time::serde::rfc3339::option")]
    pub miss_at: Option<OffsetDateTime>,
    /// Messages so far; the version of the subject `messages`.
    pub message_count: i32,
    /// Raised at each change.
    pub version: i32,
    /// When it was offered.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// When its agent answered.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it ended or was withdrawn.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

impl Record for ChatRecord {
    const SUBJECT_TYPE: &'static str = CHAT;

    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn subject_id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i32 {
        self.version
    }

    fn timers(&self) -> Vec<(&'static str, OffsetDateTime)> {
        let is_waited_for = self.status == ChatStatus::Active && !self.missed;
        self.miss_at.filter(|_| is_waited_for).map(|at| (MISS, at)).into_iter().collect()
    }
}

/// A contract that could not be offered the chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The contract.
    pub contract_id: Uuid,
    /// One of the API's error codes.
    pub code: String,
    /// What was wrong.
    pub message: String,
}

/// One customer request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RaceRecord {
    /// The tenant.
    pub company_id: Uuid,
    /// What its chats share; its id.
    pub key: Uuid,
    /// Where the customer asked.
    pub website_id: Uuid,
    /// `sub` of the first creator.
    pub owner: String,
    /// Where it stands.
    pub state: RaceState,
    /// The chat that was started; kept after it ends.
    pub winner_id: Option<Uuid>,
    /// Contracts that could not be offered the chat.
    pub failures: Vec<Failure>,
    /// A winner who vanishes gives way to the other offers.
    #[serde(default)]
    pub reoffers: bool,
    /// When unanswered offers are withdrawn.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// The agents of its chats, ascending: those who may see it.
    pub agent_ids: Vec<Uuid>,
    /// Raised at each change.
    pub version: i32,
    /// When the customer asked.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl Record for RaceRecord {
    const SUBJECT_TYPE: &'static str = RACE;

    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn subject_id(&self) -> Uuid {
        self.key
    }

    fn version(&self) -> i32 {
        self.version
    }

    fn timers(&self) -> Vec<(&'static str, OffsetDateTime)> {
        if self.state == RaceState::Waiting { vec![(EXPIRE, self.expires_at)] } else { Vec::new() }
    }
}

/// A race and its chats as of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Race {
    /// The race.
    pub record: RaceRecord,
    /// Its chats, oldest first.
    pub chats: Vec<ChatRecord>,
}

impl Race {
    /// `record` with `chats`, who decide which agents may see it.
    pub(super) fn new(record: RaceRecord, chats: Vec<ChatRecord>) -> Self {
        let mut race = Self { record, chats };
        race.renew_agents();
        race
    }

    /// To be called when chats were added or moved to another agent.
    pub(super) fn renew_agents(&mut self) {
        self.record.agent_ids = self.agents();
    }

    /// The agents of its chats, ascending.
    pub(super) fn agents(&self) -> Vec<Uuid> {
        let mut agents: Vec<Uuid> = self.chats.iter().filter_map(|chat| chat.agent_id).collect();
        agents.sort_unstable();
        agents.dedup();
        agents
    }

    /// The chat of this id.
    pub fn chat(&self, id: Uuid) -> Option<&ChatRecord> {
        self.chats.iter().find(|chat| chat.id == id)
    }

    /// The chat that is offered to this contract.
    pub fn chat_of(&self, contract_id: Uuid) -> Option<&ChatRecord> {
        self.chats.iter().find(|chat| chat.contract_id == contract_id)
    }

    /// True while an offer other than `but` is out.
    pub(super) fn is_offered(&self, but: Option<Uuid>) -> bool {
        self.chats.iter().any(|chat| chat.status == ChatStatus::Active && Some(chat.id) != but)
    }
}
