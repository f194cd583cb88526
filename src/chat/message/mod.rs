//! Messages of a chat. The first is the headline. The transaction that starts the chat writes it, exactly once.
//!
//! A chat's messages are numbered from 1 without holes. The number is given under the lock of the chat's row, so the order
//! of messages, in lists, cursors and streams, does not depend on any clock. It is the version of the subject `messages`.

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

/// Most messages of a plain list and of a subscription's present state: the newest. `Chat.messages` pages through all.
pub const MOST: usize = 1_000;

/// Which of a chat's messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct MessageWindow {
    /// Only messages after the one of this number.
    pub(super) after: Option<i32>,
    /// Only messages before the one of this number.
    pub(super) before: Option<i32>,
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
    /// Its place in the chat, from 1 without holes. 0 in events of builds that did not number messages.
    #[serde(default)]
    pub number: i32,
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
    /// When it was written, in database time. Does not order messages: a clock may be put back.
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
            number: 1,
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

/// Of the subject `messages` of its chat, whose version is the number of the newest message.
impl Record for MessageRecord {
    const SUBJECT_TYPE: &'static str = MESSAGES;

    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn subject_id(&self) -> Uuid {
        self.chat_id
    }

    fn version(&self) -> i32 {
        self.number
    }
}
