//! Statements on races and chats, each in a file of its own.

pub(super) mod races;
mod write;

use std::time::Duration;

use ipnet::IpNet;
use sqlx::{PgConnection, postgres::types::PgInterval, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

pub(super) use self::write::write;
use super::{
    filter::{ChatFilter, ChatSearch, OwnChats},
    record::{ChatRecord, Failure, RaceRecord},
    rules::{ChatStatus, CloseReason, RaceState},
};
use crate::platform::{
    db::fetch_by_values,
    error::{Error, Result},
    event::Cursor,
    graphql::page::Place,
    subscription::bookmark::Bookmarks,
};

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
    fetch_by_values(connection, chats).await
}

/// The started chat of a visitor's newest race that is not over, if that race has been won.
pub(super) async fn newest_started_chat_of_visitor(
    connection: &mut PgConnection,
    company_id: Uuid,
    names: &[String],
    website_id: Uuid,
) -> Result<Option<ChatRecord>> {
    let chat = sqlx::query_file_as!(
        ChatRecord,
        "src/chat/sql/newest_started_chat_of_visitor.sql",
        company_id,
        names,
        website_id
    );
    Ok(chat.fetch_optional(connection).await?)
}

/// The chat of a visitor's newest race that an agent had started, if it ended at most `lately` ago.
pub(super) async fn newest_ended_chat_of_visitor(
    connection: &mut PgConnection,
    company_id: Uuid,
    names: &[String],
    website_id: Uuid,
    lately: Duration,
) -> Result<Option<ChatRecord>> {
    let lately = PgInterval::try_from(lately).map_err(|why| Error::internal(why.to_string()))?;
    let chat = sqlx::query_file_as!(
        ChatRecord,
        "src/chat/sql/newest_ended_chat_of_visitor.sql",
        company_id,
        names,
        website_id,
        lately
    );
    Ok(chat.fetch_optional(connection).await?)
}

/// A question of a visitor on a website: the visitor, the website, the key of its race.
pub(super) type Question = (String, Uuid, Uuid);

/// The races in which the visitors wait whose `questions` open a race that is not there yet, each with the visitor and the
/// key of the question.
pub(super) async fn waiting_races(
    connection: &mut PgConnection,
    company_id: Uuid,
    questions: &[Question],
) -> Result<Vec<(String, Uuid, Uuid)>> {
    let visitors: Vec<&str> = questions.iter().map(|(visitor, ..)| visitor.as_str()).collect();
    let websites: Vec<Uuid> = questions.iter().map(|(_, website, _)| *website).collect();
    let keys: Vec<Uuid> = questions.iter().map(|(.., key)| *key).collect();
    let races = sqlx::query_file!("src/chat/sql/waiting_races.sql", company_id, &visitors as &[&str], &websites, &keys);
    Ok(races.fetch_all(connection).await?.into_iter().map(|row| (row.visitor, row.asked_key, row.key)).collect())
}

/// Where a widget without a token asked from, and what its stream of changes names.
pub(super) struct Asked {
    pub(super) company_id: Uuid,
    pub(super) address: IpNet,
    pub(super) contract_id: Uuid,
}

/// Deletes the pins of streams that will not come back, to the open races of this address and contract.
pub(super) async fn delete_dead_pins(connection: &mut PgConnection, asked: &Asked, id: &[u8]) -> Result<()> {
    let kept = PgInterval::try_from(Bookmarks::kept()).map_err(|why| Error::internal(why.to_string()))?;
    let Asked { company_id, address, contract_id } = asked;
    let delete =
        sqlx::query_file!("src/chat/sql/delete_dead_pins.sql", company_id, *address as IpNet, contract_id, id, kept);
    delete.execute(connection).await?;
    Ok(())
}

/// Pins the stream of this row to the only open race of this address and contract that no stream is pinned to.
pub(super) async fn pin_race(
    connection: &mut PgConnection,
    asked: &Asked,
    id: &[u8],
    server_id: Uuid,
) -> Result<Option<Uuid>> {
    let Asked { company_id, address, contract_id } = asked;
    let pin = sqlx::query_file_scalar!(
        "src/chat/sql/pin_race.sql",
        company_id,
        *address as IpNet,
        contract_id,
        id,
        server_id,
        Cursor::Restart.to_string()
    );
    Ok(pin.fetch_optional(connection).await?)
}

/// The ids and versions of the unfinished chats that pass a stream's filter, and of the newest finished ones up to
/// `limit` in all; oldest first.
pub(super) async fn listed_chats(
    connection: &mut PgConnection,
    company_id: Uuid,
    filter: &ChatFilter,
    own: &OwnChats,
    limit: usize,
) -> Result<Vec<(Uuid, i32)>> {
    let rows = sqlx::query_file!(
        "src/chat/sql/listed_chats.sql",
        company_id,
        filter.key,
        filter.contract_id,
        filter.status.map(ChatStatus::as_str),
        own.visitor,
        own.website_id,
        own.agent_id,
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    let rows = fetch_by_values(connection, rows).await?;
    Ok(rows.into_iter().map(|row| (row.id, row.version)).collect())
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
