//! Contracts: an agent's agreement to answer a website's chats in one shift.
//!
//! A contract's row is locked `for key share` by whoever offers it a chat, before the race, and `for update` by
//! whoever gives it to another agent. The two exclude each other, so no chat is offered to an agent who has just
//! left, and every unfinished chat moves along with its contract. All other changes leave offers undisturbed.

mod create;
mod feed;
mod list;
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

/// Whether a contract is offered chats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub enum ContractStatus {
    /// It is.
    Active,
    /// It is not.
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

    /// The status of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Inactive].into_iter().find(|status| status.as_str() == text)
    }
}

/// A contract as it is stored and streamed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContractRecord {
    /// The tenant.
    pub company_id: Uuid,
    /// The contract.
    pub id: Uuid,
    /// Whose visitors it serves.
    pub website_id: Uuid,
    /// Who answers.
    pub agent_id: Option<Uuid>,
    /// Shown by the widget.
    pub name: Option<String>,
    /// Shown by the widget.
    pub color: Option<String>,
    /// Price; carried, not interpreted.
    pub rate: Option<f64>,
    /// Whether it is offered chats.
    pub status: ContractStatus,
    /// Shift by UTC: 1 = 00-08, 2 = 08-16, 3 = 16-24. Called `session` in the API and in the table.
    #[serde(rename = "session")]
    pub shift: i32,
    /// Seconds until an unanswered chat is flagged missed; null, zero or negative: never.
    pub chat_miss_time: Option<i32>,
    /// What a miss costs; carried, not interpreted.
    pub chat_miss_fee: Option<f64>,
    /// The company's own reference.
    pub job_id: Option<Uuid>,
    /// The company's own reference.
    pub proposal_id: Option<Uuid>,
    /// The agent left; the contract gets no more chats.
    pub agent_deleted: bool,
    /// Raised at each change.
    pub version: i32,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl ContractRecord {
    /// True if it may be offered chats.
    pub fn is_active(&self) -> bool {
        self.status == ContractStatus::Active && !self.agent_deleted
    }

    /// When an offer that is made now is to be flagged missed; `None`: never.
    pub(super) fn miss_at(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let seconds = self.chat_miss_time.filter(|seconds| *seconds > 0)?;
        Some(now + Duration::seconds(seconds.into()))
    }

    /// Without what is between the company and its agent: prices and references.
    #[must_use]
    pub fn public(&self) -> Self {
        Self { rate: None, chat_miss_fee: None, job_id: None, proposal_id: None, ..self.clone() }
    }
}

impl Record for ContractRecord {
    const SUBJECT_TYPE: &'static str = CONTRACT;

    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn subject_id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i32 {
        self.version
    }
}

/// Who answers chats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRecord {
    /// The tenant.
    pub company_id: Uuid,
    /// Claim `agent_id` of its token.
    pub id: Uuid,
    /// Shown to customers.
    pub name: Option<String>,
}

/// Which contracts are wanted; what is absent matches all.
#[derive(Debug, Clone, Default)]
pub struct ContractFilter {
    /// The one.
    pub id: Option<Uuid>,
    /// Of this status; a text that is no status matches none.
    pub status: Option<String>,
    /// Of this shift.
    pub shift: Option<i32>,
    /// Of this agent.
    pub agent_id: Option<Uuid>,
    /// Of this website.
    pub website_id: Option<Uuid>,
}

impl ContractFilter {
    /// True if `contract` passes; the same test as the query's.
    pub fn admits(&self, contract: &ContractRecord) -> bool {
        self.id.is_none_or(|id| id == contract.id)
            && self.status.as_ref().is_none_or(|status| status == contract.status.as_str())
            && self.shift.is_none_or(|shift| shift == contract.shift)
            && self.agent_id.is_none_or(|agent| Some(agent) == contract.agent_id)
            && self.website_id.is_none_or(|website| website == contract.website_id)
    }
}
