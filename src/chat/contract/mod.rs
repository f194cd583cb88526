//! Contracts: an agent's agreement to answer a website's chats in one shift.
//!
//! A contract's row is locked `for key share` by whoever offers it a chat, before the race, and `for update` by
//! whoever gives it to another agent. The two exclude each other, so no chat is offered to an agent who has just
//! left, and every unfinished chat moves along with its contract. All other changes leave offers undisturbed.

mod feed;
pub mod graphql;
mod loader;
mod service;
pub(super) mod sql;

use async_graphql::MaybeUndefined;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

pub use feed::ContractFeed;
pub(crate) use loader::{Agents, Contracts};

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
    /// Shift by UTC: 1 = 00-08, 2 = 08-16, 3 = 16-24.
    pub session: i32,
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

    /// Without what is between the company and its agent: prices and references.
    #[must_use]
    pub fn public(&self) -> Self {
        Self { rate: None, chat_miss_fee: None, job_id: None, proposal_id: None, ..self.clone() }
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

/// A contract about to be created; its bounds are checked.
#[derive(Debug, Clone)]
pub struct NewContract {
    /// Whose visitors it serves.
    pub website_id: Uuid,
    /// Its shift.
    pub session: i32,
    /// Whether it is offered chats.
    pub status: ContractStatus,
    /// Shown by the widget.
    pub name: Option<String>,
    /// Shown by the widget.
    pub color: Option<String>,
    /// Price.
    pub rate: Option<f64>,
    /// Seconds until an unanswered chat is flagged missed.
    pub chat_miss_time: Option<i32>,
    /// What a miss costs.
    pub chat_miss_fee: Option<f64>,
    /// Who answers; becomes known as an agent by this.
    pub agent_id: Option<Uuid>,
    /// The agent's name, where it is to be set.
    pub agent_name: Option<String>,
}

/// A change of a contract; its bounds are checked. Null clears, absent keeps.
#[derive(Debug, Clone, Default)]
pub struct ContractPatch {
    /// Its shift.
    pub session: Option<i32>,
    /// Whether it is offered chats.
    pub status: Option<ContractStatus>,
    /// Shown by the widget.
    pub name: MaybeUndefined<String>,
    /// Shown by the widget.
    pub color: MaybeUndefined<String>,
    /// Price.
    pub rate: MaybeUndefined<f64>,
    /// Seconds until an unanswered chat is flagged missed; holds for offers to come.
    pub chat_miss_time: MaybeUndefined<i32>,
    /// What a miss costs.
    pub chat_miss_fee: MaybeUndefined<f64>,
    /// Who answers; unfinished chats move along.
    pub agent_id: MaybeUndefined<Uuid>,
    /// The agent left.
    pub agent_deleted: Option<bool>,
}

/// Which contracts are wanted; what is absent matches all.
#[derive(Debug, Clone, Default)]
pub struct ContractFilter {
    /// The one.
    pub id: Option<Uuid>,
    /// Of this status; a text that is no status matches none.
    pub status: Option<String>,
    /// Of this shift.
    pub session: Option<i32>,
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
            && self.session.is_none_or(|session| session == contract.session)
            && self.agent_id.is_none_or(|agent| Some(agent) == contract.agent_id)
            && self.website_id.is_none_or(|website| website == contract.website_id)
    }
}
