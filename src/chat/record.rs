//! The flat records of races and chats. The same record is the row, the payload of the events, and what the API shows.

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

/// One offer of a race to one contract, and the conversation once its agent has started it. It contains everything that
/// decides which callers may see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChatRecord {
    /// First part of the key.
    pub company_id: Uuid,
    /// Unique; with 74 random bits, so that a caller who knows it was given it.
    pub id: Uuid,
    /// The key of the chat's race.
    pub key: Uuid,
    /// The website of the race.
    pub website_id: Uuid,
    /// The contract that it is offered to.
    pub contract_id: Uuid,
    /// The contract's agent. It follows the contract until the chat is finished.
    pub agent_id: Option<Uuid>,
    /// The owner of the race.
    pub visitor: String,
    /// Moves only forward, except that a withdrawn offer may become active again (see `reoffer.rs`).
    pub status: ChatStatus,
    /// True once the agent has not started it within the contract's time. A flag, never an end.
    pub missed: bool,
    /// Set if and only if it is finished.
    pub close_reason: Option<CloseReason>,
    /// The customer's request; becomes the first message.
    pub headline: String,
    /// The name that the customer gave.
    pub customer_name: String,
    /// The customer's address: as the request gave it, otherwise that of the connection.
    pub ip_address: Option<IpNet>,
    /// The remote address of the connection that created it, whatever the request says.
    #[serde(default)]
    pub created_from: Option<IpNet>,
    /// The customer's rating, 1 to 5.
    pub rating: Option<i32>,
    /// When it is flagged missed, unless it is started or finished before.
    #[serde(with = "time::serde::rfc3339::option")]
    pub miss_at: Option<OffsetDateTime>,
    /// The number of its messages; also the version of the subject `messages`.
    pub message_count: i32,
    /// Raised by one at each change, under the race's lock or with the race's revision checked.
    pub version: i32,
    /// When it was offered, in database time.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
    /// When it last changed, in database time.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
    /// When its agent started it, in database time.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it was ended or withdrawn, in database time.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
}

impl ChatRecord {
    /// The bytes that it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.headline.len() + self.customer_name.len() + self.visitor.len()
    }
}

impl Record for ChatRecord {
    const SUBJECT_TYPE: &'static str = CHAT;

    /// First part of the key.
    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn subject_id(&self) -> Uuid {
        self.id
    }

    /// Raised by one at each change, under the race's lock or with the race's revision checked.
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
    /// The contract as the request named it; it may not exist.
    pub contract_id: Uuid,
    /// One of the error codes of the API.
    pub code: String,
    /// The reason, for people.
    pub message: String,
}

/// One request of a customer: its row, and the payload of its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RaceRecord {
    /// First part of the key.
    pub company_id: Uuid,
    /// Its id, which all of its chats share.
    pub key: Uuid,
    /// The website that the customer is on.
    pub website_id: Uuid,
    /// The claim `sub` of the caller that created it.
    pub owner: String,
    /// Decided once; see [`rules`](super::rules).
    pub state: RaceState,
    /// The chat that was started. Kept after that chat ends.
    pub winner_id: Option<Uuid>,
    /// The contracts that could not be offered the chat. Those that do not exist are only in the result of the call.
    pub failures: Vec<Failure>,
    /// True if the other offers go out again when the winner vanishes: a race of `createChatRace`.
    #[serde(default)]
    pub reoffers: bool,
    /// When its offers are withdrawn if no agent has started one.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// The agents of its chats, ascending. They may see the race.
    pub agent_ids: Vec<Uuid>,
    /// Raised by one at each change.
    pub version: i32,
    /// When it was created, in database time.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
    /// When it last changed, in database time.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl Record for RaceRecord {
    const SUBJECT_TYPE: &'static str = RACE;

    /// First part of the key.
    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn subject_id(&self) -> Uuid {
        self.key
    }

    /// Raised by one at each change.
    fn version(&self) -> i32 {
        self.version
    }

    fn timers(&self) -> Vec<(&'static str, OffsetDateTime)> {
        if self.state == RaceState::Waiting { vec![(EXPIRE, self.expires_at)] } else { Vec::new() }
    }
}

/// A race and all of its chats, read at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Race {
    /// `agent_ids` is kept in step with `chats`.
    pub record: RaceRecord,
    /// Its chats, oldest first.
    pub chats: Vec<ChatRecord>,
}

impl Race {
    /// A race whose `agent_ids` are those of `chats`.
    pub(super) fn new(record: RaceRecord, chats: Vec<ChatRecord>) -> Self {
        let mut race = Self { record, chats };
        race.renew_agents();
        race
    }

    /// Derives `agent_ids` again. To be called after chats were added or moved to another agent.
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

    /// Finds a chat by its id.
    pub fn chat(&self, id: Uuid) -> Option<&ChatRecord> {
        self.chats.iter().find(|chat| chat.id == id)
    }

    /// Finds the chat that is offered to a contract.
    pub fn chat_of(&self, contract_id: Uuid) -> Option<&ChatRecord> {
        self.chats.iter().find(|chat| chat.contract_id == contract_id)
    }

    /// True while a chat other than `but` is offered and not started.
    pub(super) fn is_offered(&self, but: Option<Uuid>) -> bool {
        self.chats.iter().any(|chat| chat.status == ChatStatus::Active && Some(chat.id) != but)
    }
}
