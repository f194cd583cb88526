//! Every query on messages.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::MessageRecord;
use crate::{
    chat::race::{ChatRecord, ChatStatus, CloseReason, chats},
    platform::error::Result,
};

/// A statement whose rows are whole messages, of a `message` and its `chat`: what comes before their columns, what comes
/// after, the arguments.
macro_rules! messages {
    ($head:literal, $tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            MessageRecord,
            $head
                + r#" message.company_id, message.chat_id, message.id, chat.website_id, chat.agent_id, chat.visitor,
                    message.text, message.author, message.is_agent, message.opening, message.inserted_at,
                    message.updated_at "#
                + $tail
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

/// Locks those of these chats' rows that nobody else holds, ascending; without waiting, so that a chat that is being
/// written elsewhere holds up no batch.
pub(super) async fn lock_free_chats(
    connection: &mut PgConnection,
    company_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<ChatRecord>> {
    let chats = chats!(
        "select",
        "from chat
         where chat.company_id = $1 and chat.id = any($2)
         order by chat.id
         for no key update skip locked",
        company_id,
        ids
    );
    Ok(chats.fetch_all(connection).await?)
}

/// Of each chat the message that has the id beside it, or was written again by the customer's client under it.
pub(super) async fn find(
    connection: &mut PgConnection,
    company_id: Uuid,
    chat_ids: &[Uuid],
    ids: &[Uuid],
) -> Result<Vec<MessageRecord>> {
    let messages = messages!(
        "select",
        "from unnest($2::uuid[], $3::uuid[]) as wanted (chat_id, id)
         join chat_message as message on message.company_id = $1 and message.chat_id = wanted.chat_id
             and (message.id = wanted.id or message.echo_id = wanted.id)
         join chat on chat.company_id = message.company_id and chat.id = message.chat_id",
        company_id,
        chat_ids,
        ids
    );
    Ok(messages.fetch_all(connection).await?)
}

/// The opening message, unless the customer's side has written something else; notes the client's `id` for it. The chat
/// is locked.
pub(super) async fn echo_opening(
    connection: &mut PgConnection,
    chat: &ChatRecord,
    id: Option<Uuid>,
) -> Result<Option<MessageRecord>> {
    let message = messages!(
        "update chat_message as message
         set echo_id = coalesce(message.echo_id, $3)
         from chat
         where message.company_id = $1 and message.chat_id = $2 and message.opening
             and chat.company_id = $1 and chat.id = $2
             and not exists (
                 select from chat_message as other
                 where other.company_id = $1 and other.chat_id = $2 and not other.opening and not other.is_agent
             )
         returning",
        "",
        chat.company_id,
        chat.id,
        id
    );
    Ok(message.fetch_optional(connection).await?)
}

/// A message that was added.
pub(super) struct Added {
    /// Of which chat.
    pub(super) chat_id: Uuid,
    /// Which of the chat's it is.
    pub(super) number: i32,
    /// When.
    pub(super) inserted_at: OffsetDateTime,
}

/// Adds messages, at most one to each chat, and counts them. The chats are locked.
pub(super) async fn insert(
    connection: &mut PgConnection,
    company_id: Uuid,
    messages: &[MessageRecord],
) -> Result<Vec<Added>> {
    let chat_ids: Vec<Uuid> = messages.iter().map(|message| message.chat_id).collect();
    let ids: Vec<Uuid> = messages.iter().map(|message| message.id).collect();
    let texts: Vec<&str> = messages.iter().map(|message| message.text.as_str()).collect();
    let authors: Vec<&str> = messages.iter().map(|message| message.author.as_str()).collect();
    let sides: Vec<bool> = messages.iter().map(|message| message.is_agent).collect();
    let added = sqlx::query_as!(
        Added,
        r#"with moment as materialized (select switchboard.now() as now),
           added as (
               insert into chat_message (company_id, chat_id, id, text, author, is_agent, inserted_at, updated_at)
               select $1, new.chat_id, new.id, new.text, new.author, new.is_agent, moment.now, moment.now
               from moment, unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::boolean[])
                   as new (chat_id, id, text, author, is_agent)
               returning chat_id, inserted_at
           )
           update chat set message_count = message_count + 1
           from added
           where chat.company_id = $1 and chat.id = added.chat_id
           returning added.chat_id, chat.message_count as number, added.inserted_at"#,
        company_id,
        &chat_ids,
        &ids,
        &texts as &[&str],
        &authors as &[&str],
        &sides,
    )
    .fetch_all(connection)
    .await?;
    Ok(added)
}

/// Writes the headline of each of these chats, which start, as its first message. Their races are locked; a second
/// opening message is refused by a unique index.
pub(in crate::chat) async fn insert_openings(
    connection: &mut PgConnection,
    company_id: Uuid,
    chats: &[ChatRecord],
) -> Result<Vec<MessageRecord>> {
    let ids: Vec<Uuid> = chats.iter().map(|_| crate::platform::clock::new_id()).collect();
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
        "from chat_message as message join chat on chat.company_id = message.company_id and chat.id = message.chat_id
         where message.company_id = $1 and message.chat_id = $2
             and ($3::timestamptz is null or (message.inserted_at, message.id) > ($3, $4::uuid))
             and ($5::timestamptz is null or (message.inserted_at, message.id) < ($5, $6::uuid))
         order by case when $7 then message.inserted_at end desc, case when $7 then message.id end desc,
             message.inserted_at, message.id
         limit $8",
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
