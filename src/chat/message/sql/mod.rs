//! Statements on messages, each in a file of its own.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{MessageRecord, MessageWindow};
use crate::{
    chat::rules::ChatStatus,
    platform::{
        error::Result,
        unit::{ChangeColumns, Changes},
    },
};

/// The fields of a chat that a message's decision needs, and the database's time.
pub(super) struct ChatRow {
    pub(super) now: OffsetDateTime,
    pub(super) company_id: Uuid,
    pub(super) id: Uuid,
    pub(super) website_id: Uuid,
    pub(super) agent_id: Option<Uuid>,
    pub(super) visitor: String,
    pub(super) status: ChatStatus,
    pub(super) headline: String,
    pub(super) message_count: i32,
    pub(super) version: i32,
}

/// What the calls of a batch add to a chat.
pub(super) struct ChatWrite<'a> {
    pub(super) id: Uuid,
    /// The version that was read; a premise of the write.
    pub(super) version: i32,
    /// The number of messages that was read; a premise of the write.
    pub(super) messages_read: i32,
    pub(super) added: &'a [MessageRecord],
    /// The id under which the client wrote the opening message again.
    pub(super) echo: Option<Uuid>,
    pub(super) changes: &'a Changes,
}

/// Locks chats in ascending order: the only lock that writers of messages take.
pub(super) async fn lock_chats(connection: &mut PgConnection, company_id: Uuid, ids: &[Uuid]) -> Result<()> {
    sqlx::query_file!("src/chat/message/sql/lock_chats.sql", company_id, ids).fetch_all(connection).await?;
    Ok(())
}

/// Reads the chats of these ids that exist. Takes no lock.
pub(super) async fn read_chats(connection: &mut PgConnection, company_id: Uuid, ids: &[Uuid]) -> Result<Vec<ChatRow>> {
    let chats = sqlx::query_file_as!(ChatRow, "src/chat/message/sql/read_chats.sql", company_id, ids);
    Ok(chats.fetch_all(connection).await?)
}

/// Reads the messages that were written, or echoed, under these ids in the chats beside them; each with that id.
pub(super) async fn known_messages(
    connection: &mut PgConnection,
    company_id: Uuid,
    chat_ids: &[Uuid],
    ids: &[Uuid],
) -> Result<Vec<(Uuid, MessageRecord)>> {
    let rows = sqlx::query_file!("src/chat/message/sql/known_messages.sql", company_id, chat_ids, ids)
        .fetch_all(connection)
        .await?;
    let messages = rows.into_iter().map(|row| {
        let message = MessageRecord {
            company_id: row.company_id,
            chat_id: row.chat_id,
            id: row.id,
            number: row.number,
            website_id: row.website_id,
            agent_id: row.agent_id,
            visitor: row.visitor,
            text: row.text,
            author: row.author,
            is_agent: row.is_agent,
            opening: row.opening,
            inserted_at: row.inserted_at,
            updated_at: row.updated_at,
        };
        (row.called_id, message)
    });
    Ok(messages.collect())
}

/// Reads the opening messages of those of these chats in which the customer has written nothing else.
pub(super) async fn opening_messages(
    connection: &mut PgConnection,
    company_id: Uuid,
    chat_ids: &[Uuid],
) -> Result<Vec<MessageRecord>> {
    let messages =
        sqlx::query_file_as!(MessageRecord, "src/chat/message/sql/opening_messages.sql", company_id, chat_ids);
    Ok(messages.fetch_all(connection).await?)
}

/// Adds messages and their events to those of these chats that are unchanged since they were read. Returns the chats
/// that were written.
pub(super) async fn write(
    connection: &mut PgConnection,
    company_id: Uuid,
    chats: &[ChatWrite<'_>],
) -> Result<Vec<Uuid>> {
    let ids: Vec<Uuid> = chats.iter().map(|chat| chat.id).collect();
    let versions: Vec<i32> = chats.iter().map(|chat| chat.version).collect();
    let messages_read: Vec<i32> = chats.iter().map(|chat| chat.messages_read).collect();
    let added: Vec<i32> = chats.iter().map(|chat| i32::try_from(chat.added.len()).unwrap_or(i32::MAX)).collect();
    let messages: Vec<&MessageRecord> = chats.iter().flat_map(|chat| chat.added).collect();
    let chat_ids: Vec<Uuid> = messages.iter().map(|message| message.chat_id).collect();
    let message_ids: Vec<Uuid> = messages.iter().map(|message| message.id).collect();
    let numbers: Vec<i32> = messages.iter().map(|message| message.number).collect();
    let texts: Vec<&str> = messages.iter().map(|message| message.text.as_str()).collect();
    let authors: Vec<&str> = messages.iter().map(|message| message.author.as_str()).collect();
    let are_agents: Vec<bool> = messages.iter().map(|message| message.is_agent).collect();
    let times: Vec<OffsetDateTime> = messages.iter().map(|message| message.inserted_at).collect();
    let (echoed, echo_ids): (Vec<Uuid>, Vec<Uuid>) =
        chats.iter().filter_map(|chat| Some((chat.id, chat.echo?))).unzip();
    let mut columns = ChangeColumns::default();
    let mut event_chats = Vec::new();
    for chat in chats {
        columns.add(chat.changes);
        event_chats.resize(columns.events.versions.len(), chat.id);
    }
    let events = &columns.events;
    let written = sqlx::query_file_scalar!(
        "src/chat/message/sql/write_messages.sql",
        company_id,
        &ids,
        &versions,
        &messages_read,
        &added,
        &chat_ids,
        &message_ids,
        &numbers,
        &texts as &[&str],
        &authors as &[&str],
        &are_agents,
        &times,
        &echoed,
        &echo_ids,
        &event_chats,
        &events.subject_types as &[&str],
        &events.subject_ids as &[&str],
        &events.versions,
        &events.event_types as &[&str],
        &events.actors as &[Option<&str>],
        &events.payloads as &[&str],
        &events.previous as &[Option<&str>],
    );
    Ok(written.fetch_all(connection).await?)
}

/// Reads a window of the messages of each of these chats, in the window's order.
pub(in crate::chat) async fn page(
    connection: &mut PgConnection,
    company_id: Uuid,
    chat_ids: &[Uuid],
    window: &MessageWindow,
) -> Result<Vec<MessageRecord>> {
    let MessageWindow { after, before, newest_first, limit } = *window;
    let messages = sqlx::query_file_as!(
        MessageRecord,
        "src/chat/message/sql/page_of_messages.sql",
        company_id,
        chat_ids,
        after.unwrap_or(0),
        before.unwrap_or(i32::MAX),
        newest_first,
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    Ok(messages.fetch_all(connection).await?)
}
