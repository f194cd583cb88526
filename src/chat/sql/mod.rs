//! Statements on races and chats, each in a file of its own.

pub(super) mod races;
mod write;

use ipnet::IpNet;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

pub(super) use self::write::write;
use super::{
    filter::{ChatFilter, ChatSearch, OwnChats},
    record::{ChatRecord, Failure, RaceRecord},
    rules::{ChatStatus, CloseReason, RaceState},
};
use crate::platform::{error::Result, graphql::page::Place};

/// The database's time.
pub(super) async fn now(connection: &mut PgConnection) -> Result<OffsetDateTime> {
    Ok(sqlx::query_file_scalar!("src/chat/sql/now.sql").fetch_one(connection).await?)
}

/// One chat. Takes no lock.
pub(super) async fn find_chat(connection: &mut PgConnection, company_id: Uuid, id: Uuid) -> Result<Option<ChatRecord>> {
    Ok(find_chats(connection, company_id, &[id]).await?.pop())
}

/// Those of these chats that are there. Takes no lock.
pub(super) async fn find_chats(
    connection: &mut PgConnection,
    company_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<ChatRecord>> {
    let chats = sqlx::query_file_as!(ChatRecord, "src/chat/sql/find_chats.sql", company_id, ids);
    Ok(chats.fetch_all(connection).await?)
}

/// Those of these chats that are there, of whatever company.
pub(super) async fn find_chats_by_id(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<ChatRecord>> {
    let chats = sqlx::query_file_as!(ChatRecord, "src/chat/sql/find_chats_by_id.sql", ids);
    Ok(chats.fetch_all(connection).await?)
}

/// The chats of these races, each race's oldest first. Takes no lock.
pub(super) async fn chats_of_races(
    connection: &mut PgConnection,
    company_id: Uuid,
    keys: &[Uuid],
) -> Result<Vec<ChatRecord>> {
    let chats = sqlx::query_file_as!(ChatRecord, "src/chat/sql/chats_of_races.sql", company_id, keys);
    Ok(chats.fetch_all(connection).await?)
}

/// A row of `chat_race`.
struct RaceRow {
    company_id: Uuid,
    key: Uuid,
    website_id: Uuid,
    owner: String,
    state: RaceState,
    winner_id: Option<Uuid>,
    failures: Json<Vec<Failure>>,
    reoffers: bool,
    expires_at: OffsetDateTime,
    version: i32,
    inserted_at: OffsetDateTime,
    updated_at: OffsetDateTime,
}

impl From<RaceRow> for RaceRecord {
    fn from(row: RaceRow) -> Self {
        Self {
            company_id: row.company_id,
            key: row.key,
            website_id: row.website_id,
            owner: row.owner,
            state: row.state,
            winner_id: row.winner_id,
            failures: row.failures.0,
            reoffers: row.reoffers,
            expires_at: row.expires_at,
            agent_ids: Vec::new(),
            version: row.version,
            inserted_at: row.inserted_at,
            updated_at: row.updated_at,
        }
    }
}

/// Those of these races that are there, without their agents. Takes no lock.
pub(super) async fn find_races(
    connection: &mut PgConnection,
    company_id: Uuid,
    keys: &[Uuid],
) -> Result<Vec<RaceRecord>> {
    let rows = sqlx::query_file_as!(RaceRow, "src/chat/sql/find_races.sql", company_id, keys);
    Ok(rows.fetch_all(connection).await?.into_iter().map(RaceRecord::from).collect())
}

/// At most `limit` chats that pass, behind `after`, newest first.
pub(super) async fn list_chats(
    connection: &mut PgConnection,
    company_id: Uuid,
    search: &ChatSearch,
    own: &OwnChats,
    after: Option<Place>,
    limit: usize,
) -> Result<Vec<ChatRecord>> {
    let statuses: Option<Vec<&str>> =
        search.statuses.as_ref().map(|statuses| statuses.iter().map(|status| status.as_str()).collect());
    let chats = sqlx::query_file_as!(
        ChatRecord,
        "src/chat/sql/list_chats.sql",
        company_id,
        statuses as Option<Vec<&str>>,
        search.contract_id,
        search.website_id,
        own.visitor,
        own.website_id,
        own.agent_id,
        after.map(|place| place.at),
        after.map(|place| place.id),
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    Ok(chats.fetch_all(connection).await?)
}

/// The started chat of a visitor's newest race that is not over, if that race has been won.
pub(super) async fn newest_started_chat_of_visitor(
    connection: &mut PgConnection,
    company_id: Uuid,
    visitor: &str,
    website_id: Uuid,
) -> Result<Option<ChatRecord>> {
    let chat = sqlx::query_file_as!(
        ChatRecord,
        "src/chat/sql/newest_started_chat_of_visitor.sql",
        company_id,
        visitor,
        website_id
    );
    Ok(chat.fetch_optional(connection).await?)
}

/// The started chat of the newest race that is not over of those from this address, if that race has been won.
pub(super) async fn newest_started_chat_from_address(
    connection: &mut PgConnection,
    company_id: Uuid,
    address: IpNet,
) -> Result<Option<ChatRecord>> {
    let chat =
        sqlx::query_file_as!(ChatRecord, "src/chat/sql/newest_started_chat_from_address.sql", company_id, address);
    Ok(chat.fetch_optional(connection).await?)
}

/// Every unfinished chat that passes a stream's filter.
pub(super) async fn unfinished_chats(
    connection: &mut PgConnection,
    company_id: Uuid,
    filter: &ChatFilter,
    own: &OwnChats,
) -> Result<Vec<ChatRecord>> {
    let chats = sqlx::query_file_as!(
        ChatRecord,
        "src/chat/sql/unfinished_chats.sql",
        company_id,
        filter.key,
        filter.contract_id,
        filter.status.map(ChatStatus::as_str),
        own.visitor,
        own.website_id,
        own.agent_id,
    );
    Ok(chats.fetch_all(connection).await?)
}

/// The newest finished chats that pass a stream's filter.
pub(super) async fn finished_chats(
    connection: &mut PgConnection,
    company_id: Uuid,
    filter: &ChatFilter,
    own: &OwnChats,
    limit: usize,
) -> Result<Vec<ChatRecord>> {
    let chats = sqlx::query_file_as!(
        ChatRecord,
        "src/chat/sql/finished_chats.sql",
        company_id,
        filter.key,
        filter.contract_id,
        own.visitor,
        own.website_id,
        own.agent_id,
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    Ok(chats.fetch_all(connection).await?)
}

/// The races in which this contract has an unfinished chat. The contract is locked for update, so that none is added.
pub(super) async fn unfinished_races_of_contract(
    connection: &mut PgConnection,
    company_id: Uuid,
    contract_id: Uuid,
) -> Result<Vec<Uuid>> {
    let keys = sqlx::query_file_scalar!("src/chat/sql/unfinished_races_of_contract.sql", company_id, contract_id);
    Ok(keys.fetch_all(connection).await?)
}
