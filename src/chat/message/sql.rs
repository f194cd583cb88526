//! Every query on messages.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::MessageRecord;
use crate::{
    chat::race::{ChatRecord, ChatStatus, CloseReason, chats},
    error::Result,
};

/// A statement whose rows are whole messages of the chat whose website, agent and visitor are the first arguments: what
/// comes before their columns, what comes after, the further arguments.
macro_rules! messages {
    ($head:literal, $tail:literal, $chat:expr $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            MessageRecord,
            $head
                + r#" message.company_id, message.chat_id, message.id, $1::uuid as "website_id!",
                    $2::uuid as agent_id, $3::text as "visitor!", message.text, message.author, message.is_agent,
                    message.opening, message.inserted_at, message.updated_at "#
                + $tail,
            $chat.website_id,
            $chat.agent_id,
            $chat.visitor
            $(, $argument)*
        )
    };
}

/// Locks a chat's row, as it is then. The only lock that a writer of messages takes.
pub(super) async fn lock_chat(connection: &mut PgConnection, company_id: Uuid, id: Uuid) -> Result<Option<ChatRecord>> {
    let chat =
        chats!("select", "from chat where chat.company_id = $1 and chat.id = $2 for no key update", company_id, id);
    Ok(chat.fetch_optional(connection).await?)
}

/// The message that has this id, or was written again by the customer's client under it.
pub(super) async fn find(connection: &mut PgConnection, chat: &ChatRecord, id: Uuid) -> Result<Option<MessageRecord>> {
    let message = messages!(
        "select",
        "from chat_message as message
         where message.company_id = $4 and message.chat_id = $5 and (message.id = $6 or message.echo_id = $6)",
        chat,
        chat.company_id,
        chat.id,
        id
    );
    Ok(message.fetch_optional(connection).await?)
}

/// The opening message, if it says `text` and the customer's side has written nothing else; notes the client's `id` for
/// it. The chat is locked.
pub(super) async fn echoed_opening(
    connection: &mut PgConnection,
    chat: &ChatRecord,
    text: &str,
    id: Option<Uuid>,
) -> Result<Option<MessageRecord>> {
    let message = messages!(
        "update chat_message as message
         set echo_id = coalesce(message.echo_id, $7)
         where message.company_id = $4 and message.chat_id = $5 and message.opening and message.text = $6
             and not exists (
                 select from chat_message as other
                 where other.company_id = $4 and other.chat_id = $5 and not other.opening and not other.is_agent
             )
         returning",
        "",
        chat,
        chat.company_id,
        chat.id,
        text,
        id
    );
    Ok(message.fetch_optional(connection).await?)
}

/// Adds a message and counts it; answers it with its times, and which of the chat's it is. The chat is locked.
pub(super) async fn insert(connection: &mut PgConnection, mut message: MessageRecord) -> Result<(MessageRecord, i32)> {
    let row = sqlx::query!(
        r#"with counted as (
               update chat set message_count = message_count + 1
               where company_id = $1 and id = $2
               returning message_count
           ), moment as materialized (select switchboard.now() as now), added as (
               insert into chat_message (company_id, chat_id, id, text, author, is_agent, inserted_at, updated_at)
               select $1, $2, $3, $4, $5, $6, moment.now, moment.now from moment
               returning inserted_at
           )
           select counted.message_count, added.inserted_at from counted, added"#,
        message.company_id,
        message.chat_id,
        message.id,
        message.text,
        message.author,
        message.is_agent,
    )
    .fetch_one(connection)
    .await?;
    message.inserted_at = row.inserted_at;
    message.updated_at = row.inserted_at;
    Ok((message, row.message_count))
}

/// Writes the headline of each of these chats, which start, as its first message. Their races are locked; a second
/// opening message is refused by a unique index.
pub(in crate::chat) async fn insert_openings(
    connection: &mut PgConnection,
    company_id: Uuid,
    chats: &[ChatRecord],
) -> Result<Vec<MessageRecord>> {
    let ids: Vec<Uuid> = chats.iter().map(|_| crate::clock::new_id()).collect();
    let chat_ids: Vec<Uuid> = chats.iter().map(|chat| chat.id).collect();
    let texts: Vec<&str> = chats.iter().map(|chat| chat.headline.as_str()).collect();
    let authors: Vec<&str> = chats.iter().map(|chat| chat.customer_name.as_str()).collect();
    let rows = sqlx::query!(
        "insert into chat_message (company_id, chat_id, id, text, author, is_agent, opening)
         select $1, opening.chat_id, opening.id, opening.text, opening.author, false, true
         from unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[]) as opening (chat_id, id, text, author)
         returning chat_id, id, inserted_at, updated_at",
        company_id,
        &chat_ids,
        &ids,
        &texts as &[&str],
        &authors as &[&str],
    )
    .fetch_all(connection)
    .await?;
    let written = rows.into_iter().filter_map(|row| {
        let chat = chats.iter().find(|chat| chat.id == row.chat_id)?;
        Some(MessageRecord {
            company_id,
            chat_id: chat.id,
            id: row.id,
            website_id: chat.website_id,
            agent_id: chat.agent_id,
            visitor: chat.visitor.clone(),
            text: chat.headline.clone(),
            author: chat.customer_name.clone(),
            is_agent: false,
            opening: true,
            inserted_at: row.inserted_at,
            updated_at: row.updated_at,
        })
    });
    Ok(written.collect())
}

/// At most `limit` messages of a chat between two places, both outside: oldest first, or newest first.
pub(in crate::chat) async fn page(
    connection: &mut PgConnection,
    chat: &ChatRecord,
    after: Option<(OffsetDateTime, Uuid)>,
    before: Option<(OffsetDateTime, Uuid)>,
    newest_first: bool,
    limit: usize,
) -> Result<Vec<MessageRecord>> {
    let messages = messages!(
        "select",
        "from chat_message as message
         where message.company_id = $4 and message.chat_id = $5
             and ($6::timestamptz is null or (message.inserted_at, message.id) > ($6, $7::uuid))
             and ($8::timestamptz is null or (message.inserted_at, message.id) < ($8, $9::uuid))
         order by case when $10 then message.inserted_at end desc, case when $10 then message.id end desc,
             message.inserted_at, message.id
         limit $11",
        chat,
        chat.company_id,
        chat.id,
        after.map(|place| place.0),
        after.map(|place| place.1),
        before.map(|place| place.0),
        before.map(|place| place.1),
        newest_first,
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    Ok(messages.fetch_all(connection).await?)
}
