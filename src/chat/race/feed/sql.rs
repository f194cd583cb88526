//! What a stream of chats shows at first.

use sqlx::PgConnection;
use uuid::Uuid;

use super::ChatFilter;
use crate::{
    chat::race::{
        record::ChatRecord,
        sql::chats,
        state::{ChatStatus, CloseReason},
    },
    platform::error::Result,
};

/// Most finished chats in a snapshot's place, together with the unfinished ones: an inbox is for what is going on,
/// and a thousand rows are about half a megabyte on the wire. Older ones are a query's affair.
pub(super) const FINISHED_IN_SNAPSHOT: usize = 1_000;

/// What a chat feed shows at first, oldest first: every unfinished chat that passes its filter, and the newest
/// finished ones up to `most` in all. Two statements: to be called in a repeatable-read transaction.
pub(super) async fn snapshot(
    connection: &mut PgConnection,
    company_id: Uuid,
    filter: &ChatFilter,
    (visitor, website_id, agent_id): (Option<&str>, Option<Uuid>, Option<Uuid>),
    most: usize,
) -> Result<Vec<ChatRecord>> {
    let ChatFilter { chat_id, key, contract_id, status } = filter;
    let mut found = Vec::new();
    if *status != Some(ChatStatus::Finished) {
        let unfinished = chats!(
            "select",
            "from chat
             where chat.company_id = $1 and chat.status <> 'FINISHED'
                 and ($2::uuid is null or chat.id = $2) and ($3::uuid is null or chat.key = $3)
                 and ($4::uuid is null or chat.contract_id = $4) and ($5::text is null or chat.status = $5)
                 and ($6::text is null or chat.visitor = $6) and ($7::uuid is null or chat.website_id = $7)
                 and ($8::uuid is null or chat.agent_id = $8)",
            company_id,
            *chat_id,
            *key,
            *contract_id,
            status.map(ChatStatus::as_str),
            visitor,
            website_id,
            agent_id,
        );
        found = unfinished.fetch_all(&mut *connection).await?;
    }
    if matches!(status, None | Some(ChatStatus::Finished)) && found.len() < most {
        let finished = chats!(
            "select",
            "from chat
             where chat.company_id = $1 and chat.status = 'FINISHED'
                 and ($2::uuid is null or chat.id = $2) and ($3::uuid is null or chat.key = $3)
                 and ($4::uuid is null or chat.contract_id = $4)
                 and ($5::text is null or chat.visitor = $5) and ($6::uuid is null or chat.website_id = $6)
                 and ($7::uuid is null or chat.agent_id = $7)
             order by chat.inserted_at desc
             limit $8",
            company_id,
            *chat_id,
            *key,
            *contract_id,
            visitor,
            website_id,
            agent_id,
            i64::try_from(most - found.len()).unwrap_or(i64::MAX),
        );
        found.extend(finished.fetch_all(connection).await?);
    }
    found.sort_unstable_by_key(|chat| (chat.inserted_at, chat.id));
    Ok(found)
}
