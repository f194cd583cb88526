//! Messages in the API.

use async_graphql::{
    Object,
    connection::{Connection, Edge, EmptyFields},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{MessageRecord, sql};
use crate::{
    chat::race::ChatRecord,
    error::{Error, Result},
    graphql::{page, scalars::Datetime},
};

/// What was said in a chat.
pub struct Message(MessageRecord);

#[Object]
impl Message {
    /// The message.
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// Where.
    async fn chat_id(&self) -> Uuid {
        self.0.chat_id
    }

    /// What.
    async fn text(&self) -> &str {
        &self.0.text
    }

    /// Who, as shown.
    async fn author(&self) -> &str {
        &self.0.author
    }

    /// Whether the agent's side wrote it.
    async fn is_agent(&self) -> bool {
        self.0.is_agent
    }

    /// When.
    async fn inserted_at(&self) -> Datetime {
        self.0.inserted_at.into()
    }

    /// When it was last changed.
    async fn updated_at(&self) -> Datetime {
        self.0.updated_at.into()
    }
}

/// Which part of a list: forward by `first` and `after`, or backward by `last` and `before`.
#[derive(Debug, Default)]
pub(in crate::chat) struct Window {
    pub(in crate::chat) first: Option<i32>,
    pub(in crate::chat) after: Option<String>,
    pub(in crate::chat) last: Option<i32>,
    pub(in crate::chat) before: Option<String>,
}

/// A place between messages: behind the one of this time and id.
type Place = (OffsetDateTime, Uuid);

fn write(message: &MessageRecord) -> String {
    let mut bytes = message.inserted_at.unix_timestamp_nanos().to_be_bytes().to_vec();
    bytes.extend(message.id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read(argument: &str, cursor: &str) -> Result<Place> {
    let place = || {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (time, id) = bytes.split_at_checked(16)?;
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from_be_bytes(time.try_into().ok()?)).ok()?;
        Some((time, Uuid::from_slice(id).ok()?))
    };
    place().ok_or_else(|| Error::invalid(argument, "is not a cursor of this list"))
}

/// A page of a chat's messages, in the order in which they were written. The caller may see the chat.
pub(in crate::chat) async fn messages(
    pool: &PgPool,
    chat: &ChatRecord,
    window: Window,
) -> Result<Connection<String, Message, EmptyFields, EmptyFields>> {
    let Window { first, after, last, before } = window;
    if first.is_some() && last.is_some() {
        return Err(Error::invalid("last", "not together with first"));
    }
    let backward = last.is_some();
    let size = if backward { page::size("last", last)? } else { page::size("first", first)? };
    let after = after.map(|cursor| read("after", &cursor)).transpose()?;
    let before = before.map(|cursor| read("before", &cursor)).transpose()?;
    let mut connection = pool.acquire().await?;
    let mut found = sql::page(&mut connection, chat, after, before, backward, size + 1).await?;
    let more = found.len() > size;
    found.truncate(size);
    if backward {
        found.reverse();
    }
    // Beyond the given end of the window lies at least the message that it names.
    let (behind, ahead) = if backward { (more, before.is_some()) } else { (after.is_some(), more) };
    let mut page = Connection::new(behind, ahead);
    page.edges = found.into_iter().map(|message| Edge::new(write(&message), Message(message))).collect();
    Ok(page)
}
