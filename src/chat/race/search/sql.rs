//! Queries that look for chats. None takes a lock.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::ChatSearch;
use crate::{
    chat::race::{
        feed::Own,
        record::ChatRecord,
        sql::chats,
        state::{ChatStatus, CloseReason},
    },
    platform::error::Result,
};

/// One chat, of whatever company: who asks belongs to none and proves only that it knows the id.
pub(super) async fn find_anywhere(connection: &mut PgConnection, id: Uuid) -> Result<Option<ChatRecord>> {
    let chat = chats!("select", "from chat where chat.id = $1", id);
    Ok(chat.fetch_optional(connection).await?)
}

/// At most `limit` chats that pass, behind `after`, newest first.
pub(super) async fn page(
    connection: &mut PgConnection,
    company_id: Uuid,
    search: &ChatSearch,
    own: Own<'_>,
    after: Option<(OffsetDateTime, Uuid)>,
    limit: usize,
) -> Result<Vec<ChatRecord>> {
    let statuses: Option<Vec<&str>> =
        search.statuses.as_ref().map(|statuses| statuses.iter().map(|status| status.as_str()).collect());
    let chats = chats!(
        "select",
        "from chat
         where chat.company_id = $1
             and ($2::text[] is null or chat.status = any($2)) and ($3::uuid is null or chat.contract_id = $3)
             and ($4::uuid is null or chat.website_id = $4) and ($5::text is null or chat.visitor = $5)
             and ($6::uuid is null or chat.website_id = $6) and ($7::uuid is null or chat.agent_id = $7)
             and ($8::timestamptz is null or (chat.inserted_at, chat.id) < ($8, $9::uuid))
         order by chat.inserted_at desc, chat.id desc
         limit $10",
        company_id,
        statuses as Option<Vec<&str>>,
        search.contract_id,
        search.website_id,
        own.visitor,
        own.website_id,
        own.agent_id,
        after.map(|place| place.0),
        after.map(|place| place.1),
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    Ok(chats.fetch_all(connection).await?)
}

/// The started chat of the newest of these races that is not over, if that race has been won.
pub(super) async fn newest_started(
    connection: &mut PgConnection,
    company_id: Uuid,
    own: Own<'_>,
) -> Result<Option<ChatRecord>> {
    let chat = chats!(
        "select",
        "from chat
         where chat.company_id = $1 and chat.status = 'STARTED'
             and chat.key = (
                 select race.key
                 from chat as own
                 join chat_race as race on race.company_id = own.company_id and race.key = own.key
                 where own.company_id = $1 and own.status <> 'FINISHED'
                     and ($2::text is null or own.visitor = $2) and ($3::uuid is null or own.website_id = $3)
                     and ($4::inet is null or own.created_from = $4)
                 order by race.inserted_at desc, race.key desc
                 limit 1
             )",
        company_id,
        own.visitor,
        own.website_id,
        own.created_from,
    );
    Ok(chat.fetch_optional(connection).await?)
}
