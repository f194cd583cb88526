//! Messages of a chat. The first is the headline. The transaction that starts the chat writes it, exactly once.

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
use crate::platform::{clock, graphql::page::Place, unit::Record};

/// Most messages of a plain list and of a subscription's present state: the newest. `Chat.messages` pages through all.
pub const MOST: usize = 1_000;

/// Which of a chat's messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct MessageWindow {
    /// Only messages after this place.
    pub(super) after: Option<Place>,
    /// Only messages before this place.
    pub(super) before: Option<Place>,
    /// Read from the newest backward, and so given in that order.
    pub(super) newest_first: bool,
    /// Most messages of one chat.
    pub(super) limit: usize,
}

impl MessageWindow {
    /// The newest messages of a list without pages, the newest first.
    pub(super) const NEWEST: Self = Self { after: None, before: None, newest_first: true, limit: MOST };
}

/// One message: its row, and the payload of its event. It contains the parties of its chat, so that rights are decided
/// from the event alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageRecord {
    /// The company of the chat; first part of the key.
    pub company_id: Uuid,
    /// The chat that it was written into.
    pub chat_id: Uuid,
    /// Unique within the chat; chosen by the client or by the server.
    pub id: Uuid,
    /// The website of the chat.
    pub website_id: Uuid,
    /// The chat's agent when the message was written.
    pub agent_id: Option<Uuid>,
    /// The visitor of the chat.
    pub visitor: String,
    /// 1 to 10,000 characters.
    pub text: String,
    /// The name to show beside the text.
    pub author: String,
    /// True if the agent's side wrote it.
    pub is_agent: bool,
    /// True for the headline, which is written when the chat starts.
    pub opening: bool,
    /// When it was written, in database time. Orders the messages of a chat.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
    /// The same as `inserted_at`: messages never change.
    #[serde(with = "time::serde::rfc3339")]
    pub updated_at: OffsetDateTime,
}

impl MessageRecord {
    /// The bytes that it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.len() + self.author.len() + self.visitor.len()
    }

    /// The first message of a chat, made from its headline when it starts.
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
