//! Contracts: an agent's agreement to answer a website's chats in one shift.
//!
//! Two locks on a contract's row keep its chats with its agent:
//!
//! - A verb that offers the contract a chat locks the row `for key share`, before the race.
//! - A verb that changes the agent locks the row `for update`.
//!
//! The two exclude each other. So no chat is offered to an agent who has just left, and every unfinished chat moves with
//! its contract. All other changes lock `for no key update`, which does not wait for offers.

mod create;
mod feed;
pub(super) mod list;
pub(super) mod sql;
mod update;

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

pub use create::NewContract;
pub use feed::ContractFeed;
pub use update::ContractPatch;

use super::CONTRACT;
use crate::platform::unit::Record;

/// Decides whether a contract is offered chats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ContractStatus {
    /// The contract is offered the chats of its shift.
    Active,
    /// The contract is offered no chats.
    Inactive,
}

impl ContractStatus {
    /// The name in the database and on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Inactive => "inactive",
        }
    }

    /// Parses the name in the database and on the wire.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Inactive].into_iter().find(|status| status.as_str() == text)
    }
}

/// Most contracts of a list: the newest. A company has one for each agent and shift.
pub const MOST: usize = 1_000;

/// A contract: its row, and the payload of its events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContractRecord {
    /// First part of the key.
    pub company_id: Uuid,
    /// Unique within the company; chats refer to it.
    pub id: Uuid,
    /// The website whose visitors it serves.
    pub website_id: Uuid,
    /// The agent who answers.
    pub agent_id: Option<Uuid>,
    /// The name that the widget shows.
    pub name: Option<String>,
    /// The color that the widget shows; not interpreted.
    pub color: Option<String>,
    /// The agent's price; not interpreted.
    pub rate: Option<f64>,
    /// Only active contracts are offered chats.
    pub status: ContractStatus,
    /// Shift by UTC: 1 = 00-08, 2 = 08-16, 3 = 16-24. Called `session` in the API and in the table.
    #[serde(rename = "session")]
    pub shift: i32,
    /// Seconds until an unanswered chat is flagged missed; `None`, zero or negative: never.
    pub chat_miss_time: Option<i32>,
    /// The cost of a missed chat; not interpreted.
    pub chat_miss_fee: Option<f64>,
    /// The company's reference to a job; not interpreted.
    pub job_id: Option<Uuid>,
    /// The company's reference to a proposal; not interpreted.
    pub proposal_id: Option<Uuid>,
    /// True once the agent has left. The contract is then offered no chats.
    pub agent_deleted: bool,
    /// Raised by one at each change, under the row's lock.
    pub version: i32,
    /// When it was created, in database time.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
    /// When it last changed, in database time.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl ContractRecord {
    /// True if it may be offered chats.
    pub fn is_active(&self) -> bool {
        self.status == ContractStatus::Active && !self.agent_deleted
    }

    /// When a chat that is offered at `now` is to be flagged missed; `None`: never.
    pub(super) fn miss_at(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let seconds = self.chat_miss_time.filter(|seconds| *seconds > 0)?;
        Some(now + Duration::seconds(seconds.into()))
    }

    /// The bytes that it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + [&self.name, &self.color].into_iter().flatten().map(String::len).sum::<usize>()
    }

    /// The record for callers outside the company: without prices and references.
    #[must_use]
    pub fn public(&self) -> Self {
        Self { rate: None, chat_miss_fee: None, job_id: None, proposal_id: None, ..self.clone() }
    }
}

impl Record for ContractRecord {
    const SUBJECT_TYPE: &'static str = CONTRACT;

    /// First part of the key.
    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn subject_id(&self) -> Uuid {
        self.id
    }

    /// Raised by one at each change, under the row's lock.
    fn version(&self) -> i32 {
        self.version
    }
}

/// A person who answers chats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRecord {
    /// First part of the key.
    pub company_id: Uuid,
    /// The claim `agent_id` of the agent's token.
    pub id: Uuid,
    /// The name that customers see.
    pub name: Option<String>,
}

/// Selects contracts. `None` matches all; the others must all match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct ContractFilter {
    /// The contract with this id.
    pub id: Option<Uuid>,
    /// Contracts of this status. A text that is no status matches none.
    pub status: Option<String>,
    /// Contracts of this shift.
    pub shift: Option<i32>,
    /// This agent's contracts.
    pub agent_id: Option<Uuid>,
    /// This website's contracts.
    pub website_id: Option<Uuid>,
}

impl ContractFilter {
    /// True if `contract` matches. The same test as in `list_contracts.sql`.
    pub fn admits(&self, contract: &ContractRecord) -> bool {
        self.id.is_none_or(|id| id == contract.id)
            && self.status.as_ref().is_none_or(|status| status == contract.status.as_str())
            && self.shift.is_none_or(|shift| shift == contract.shift)
            && self.agent_id.is_none_or(|agent| Some(agent) == contract.agent_id)
            && self.website_id.is_none_or(|website| website == contract.website_id)
    }
}
