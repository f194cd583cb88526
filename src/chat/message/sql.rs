//! Every query on messages.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::MessageRecord;
use crate::{chat::race::ChatRecord, error::Result};

/// Writes the headline of a chat that starts as its first message. The race is locked; a second opening message is
/// refused by a unique index.
pub(in crate::chat) async fn insert_opening(connection: &mut PgConnection, chat: &ChatRecord) -> Result<MessageRecord> {
    let message = sqlx::query!(
        "insert into chat_message (company_id, chat_id, id, text, author, is_agent, opening)
         values ($1, $2, $3, $4, $5, false, true)
         returning id, inserted_at, updated_at",
        chat.company_id,
        chat.id,
        crate::clock::new_id(),
        chat.headline,
        chat.customer_name,
    )
    .fetch_one(connection)
    .await?;
    Ok(MessageRecord {
        company_id: chat.company_id,
        chat_id: chat.id,
        id: message.id,
        website_id: chat.website_id,
        agent_id: chat.agent_id,
        visitor: chat.visitor.clone(),
        text: chat.headline.clone(),
        author: chat.customer_name.clone(),
        is_agent: false,
        opening: true,
        inserted_at: message.inserted_at,
        updated_at: message.updated_at,
    })
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
    let messages = sqlx::query_as!(
        MessageRecord,
        r#"select message.company_id, message.chat_id, message.id, $2::uuid as "website_id!", $3::uuid as agent_id,
               $4::text as "visitor!", message.text, message.author, message.is_agent, message.opening,
               message.inserted_at, message.updated_at
           from chat_message as message
           where message.company_id = $1 and message.chat_id = $5
               and ($6::timestamptz is null or (message.inserted_at, message.id) > ($6, $7::uuid))
               and ($8::timestamptz is null or (message.inserted_at, message.id) < ($8, $9::uuid))
           order by case when $10 then message.inserted_at end desc, case when $10 then message.id end desc,
               message.inserted_at, message.id
           limit $11"#,
        chat.company_id,
        chat.website_id,
        chat.agent_id,
        chat.visitor,
        chat.id,
        after.map(|place| place.0),
        after.map(|place| place.1),
        before.map(|place| place.0),
        before.map(|place| place.1),
        newest_first,
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(connection)
    .await?;
    Ok(messages)
}
