//! Messages of a chat. The first is the headline: written by the transaction that starts the chat, exactly once.

mod create;
mod feed;
pub(super) mod sql;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

pub(super) use create::CreateMessage;
pub use create::NewMessage;
pub use feed::MessageFeed;

use super::{MESSAGES, record::ChatRecord};
use crate::platform::{clock, unit::Record};

/// Most messages in a plain list and in a stream's present state: the newest. `Chat.messages` pages through all.
pub const MOST: usize = 1_000;

/// One message. Carries the parties of its chat, so that its event alone decides who sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRecord {
    /// The chat's company.
    pub company_id: Uuid,
    /// The chat that it was written into.
    pub chat_id: Uuid,
    /// Unique within the chat; may be made by the client.
    pub id: Uuid,
    /// The chat's website.
    pub website_id: Uuid,
    /// The chat's agent when the message was written.
    pub agent_id: Option<Uuid>,
    /// The chat's visitor.
    pub visitor: String,
    /// The words.
    pub text: String,
    /// The name that is shown beside them.
    pub author: String,
    /// True if the agent's side wrote it.
    pub is_agent: bool,
    /// The headline, written when the chat started.
    pub opening: bool,
    /// Database time.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
    /// Messages are never changed, so this is `inserted_at`.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl MessageRecord {
    /// The first message of a chat that starts: its headline.
    pub(super) fn opening(chat: &ChatRecord, now: OffsetDateTime) -> Self {
        Self {
            company_id: chat.company_id,
            chat_id: chat.id,
            id: clock::new_id(),
            website_id: chat.website_id,
            agent_id: chat.agent_id,
            visitor: chat.visitor.clone(),
            text: chat.headline.clone(),
            author: chat.customer_name.clone(),
            is_agent: false,
            opening: true,
            inserted_at: now,
            updated_at: now,
        }
    }
}

/// A message as the subject `messages` of its chat: the subject's version is the number of the message, from 1.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct NumberedMessage<'a> {
    pub(super) message: &'a MessageRecord,
    #[serde(skip)]
    pub(super) number: i32,
}

impl Record for NumberedMessage<'_> {
    const SUBJECT_TYPE: &'static str = MESSAGES;

    fn company_id(&self) -> Uuid {
        self.message.company_id
    }

    fn subject_id(&self) -> Uuid {
        self.message.chat_id
    }

    fn version(&self) -> i32 {
        self.number
    }
}
