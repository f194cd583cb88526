//! Messages of a chat. The first is the headline: written by the transaction that starts the chat, exactly once.

pub(super) mod batch;
mod feed;
pub mod graphql;
mod service;
pub(super) mod sql;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

pub use feed::MessageFeed;
pub use service::NewMessage;

/// Most messages in a plain list and in a stream's present state: the newest. `Chat.messages` pages through all.
pub const MOST: usize = 1_000;

/// One message. Carries who may see its chat, so that its event alone tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRecord {
    /// The tenant.
    pub company_id: Uuid,
    /// Where.
    pub chat_id: Uuid,
    /// The message.
    pub id: Uuid,
    /// The chat's website.
    pub website_id: Uuid,
    /// The chat's agent.
    pub agent_id: Option<Uuid>,
    /// The chat's visitor.
    pub visitor: String,
    /// What.
    pub text: String,
    /// Who, as shown.
    pub author: String,
    /// Whether the agent's side wrote it.
    pub is_agent: bool,
    /// The headline, written when the chat started.
    pub opening: bool,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
    /// When it was last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}
