//! Every query on races and chats. Writers hold the race's lock, unless said otherwise.

use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    record::{ChatRecord, Failure, RaceRecord},
    state::{ChatStatus, CloseReason, RaceState},
};
use crate::platform::error::{Error, Result};

/// A statement whose rows are whole chats: what comes before their columns, what comes after, the arguments.
macro_rules! chats {
    ($head:literal, $tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            ChatRecord,
            $head
                + r#" chat.company_id, chat.id, chat.key, chat.website_id, chat.contract_id, chat.agent_id, chat.visitor,
                    chat.status as "status: ChatStatus", chat.missed, chat.close_reason as "close_reason: CloseReason",
                    chat.headline, chat.customer_name, chat.ip_address, chat.created_from, chat.rating, chat.miss_at,
                    chat.message_count, chat.version, chat.inserted_at, chat.updated_at, chat.started_at, chat.finished_at "#
                + $tail
            $(, $argument)*
        )
    };
}
pub(in crate::chat) use chats;

/// A statement whose rows are whole races, still without their agents; [`RaceRow::into_record`] makes the records.
macro_rules! races {
    ($head:literal, $tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            RaceRow,
            $head
                + r#" chat_race.company_id, chat_race.key, chat_race.website_id, chat_race.owner,
                    chat_race.state as "state: RaceState", chat_race.winner_id,
                    chat_race.failures as "failures: Json<Vec<Failure>>", chat_race.reoffers, chat_race.expires_at,
                    chat_race.version, chat_race.inserted_at, chat_race.updated_at "#
                + $tail
            $(, $argument)*
        )
    };
}
pub(super) use races;

/// A row of `chat_race`.
pub(super) struct RaceRow {
    pub(super) company_id: Uuid,
    pub(super) key: Uuid,
    pub(super) website_id: Uuid,
    pub(super) owner: String,
    pub(super) state: RaceState,
    pub(super) winner_id: Option<Uuid>,
    pub(super) failures: Json<Vec<Failure>>,
    pub(super) reoffers: bool,
    pub(super) expires_at: OffsetDateTime,
    pub(super) version: i32,
    pub(super) inserted_at: OffsetDateTime,
    pub(super) updated_at: OffsetDateTime,
}

impl RaceRow {
    /// The record, still without its agents.
    pub(super) fn into_record(self) -> RaceRecord {
        RaceRecord {
            company_id: self.company_id,
            key: self.key,
            website_id: self.website_id,
            owner: self.owner,
            state: self.state,
            winner_id: self.winner_id,
            failures: self.failures.0,
            reoffers: self.reoffers,
            expires_at: self.expires_at,
            agent_ids: Vec::new(),
            version: self.version,
            inserted_at: self.inserted_at,
            updated_at: self.updated_at,
        }
    }
}

/// The database's time.
pub(in crate::chat) async fn now(connection: &mut PgConnection) -> Result<OffsetDateTime> {
    Ok(sqlx::query_scalar!(r#"select switchboard.now() as "now!""#).fetch_one(connection).await?)
}

/// One chat. Takes no lock.
pub(in crate::chat) async fn find_chat(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
) -> Result<Option<ChatRecord>> {
    let chat = chats!("select", "from chat where chat.company_id = $1 and chat.id = $2", company_id, id);
    Ok(chat.fetch_optional(connection).await?)
}

/// Those of these chats that are there. Takes no lock.
pub(super) async fn find_chats(
    connection: &mut PgConnection,
    company_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<ChatRecord>> {
    let chats = chats!("select", "from chat where chat.company_id = $1 and chat.id = any($2)", company_id, ids);
    Ok(chats.fetch_all(connection).await?)
}

/// The chats of one race, oldest first.
pub(super) async fn chats_of_race(
    connection: &mut PgConnection,
    company_id: Uuid,
    key: Uuid,
) -> Result<Vec<ChatRecord>> {
    chats_of_races(connection, &[company_id], &[key]).await
}

/// The chats of several races, each race's oldest first. Takes no lock.
pub(super) async fn chats_of_races(
    connection: &mut PgConnection,
    companies: &[Uuid],
    keys: &[Uuid],
) -> Result<Vec<ChatRecord>> {
    let chats = chats!(
        "select",
        "from unnest($1::uuid[], $2::uuid[]) as wanted (company_id, key)
         join chat on chat.company_id = wanted.company_id and chat.key = wanted.key
         order by chat.inserted_at, chat.id",
        companies,
        keys
    );
    Ok(chats.fetch_all(connection).await?)
}

/// One race, without its agents. Takes no lock.
pub(super) async fn find_race(
    connection: &mut PgConnection,
    company_id: Uuid,
    key: Uuid,
) -> Result<Option<RaceRecord>> {
    let row =
        races!("select", "from chat_race where chat_race.company_id = $1 and chat_race.key = $2", company_id, key)
            .fetch_optional(connection)
            .await?;
    Ok(row.map(RaceRow::into_record))
}

/// Locks those of these races that nobody else holds, ascending, and answers them as [`lock_races`] does: without
/// waiting, so that a race that is being decided elsewhere holds up no batch.
pub(super) async fn lock_free_races(
    connection: &mut PgConnection,
    company_id: Uuid,
    keys: &[Uuid],
) -> Result<Vec<RaceRecord>> {
    let rows = races!(
        "select",
        "from chat_race
         where chat_race.company_id = $1 and chat_race.key = any($2)
         order by chat_race.key
         for no key update skip locked",
        company_id,
        keys
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(RaceRow::into_record).collect())
}

/// The same for the races of these chats.
pub(super) async fn lock_free_races_of(
    connection: &mut PgConnection,
    company_id: Uuid,
    chat_ids: &[Uuid],
) -> Result<Vec<RaceRecord>> {
    let rows = races!(
        "select",
        "from chat_race
         where chat_race.company_id = $1
             -- A chat never changes its race.
             and chat_race.key in (select chat.key from chat where chat.company_id = $1 and chat.id = any($2))
         order by chat_race.key
         for no key update of chat_race skip locked",
        company_id,
        chat_ids
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(RaceRow::into_record).collect())
}

/// Locks these races, ascending, and answers them as they are under the lock, without their agents. Nothing else is
/// read here: this statement's snapshot is older than its locks.
pub(super) async fn lock_races(
    connection: &mut PgConnection,
    company_id: Uuid,
    keys: &[Uuid],
) -> Result<Vec<RaceRecord>> {
    let rows = races!(
        "select",
        "from chat_race
         where chat_race.company_id = $1 and chat_race.key = any($2)
         order by chat_race.key
         for no key update",
        company_id,
        keys
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(RaceRow::into_record).collect())
}

/// Writes what can change of a race and raises its version; with `cap_seconds` its time begins anew.
pub(super) async fn save_race(
    connection: &mut PgConnection,
    race: &mut RaceRecord,
    cap_seconds: Option<f64>,
) -> Result<()> {
    save_races(connection, race.company_id, &mut [race], cap_seconds).await
}

/// The same for several of one company.
pub(super) async fn save_races(
    connection: &mut PgConnection,
    company_id: Uuid,
    races: &mut [&mut RaceRecord],
    cap_seconds: Option<f64>,
) -> Result<()> {
    let keys: Vec<Uuid> = races.iter().map(|race| race.key).collect();
    let states: Vec<&str> = races.iter().map(|race| race.state.as_str()).collect();
    let winner_ids: Vec<Option<Uuid>> = races.iter().map(|race| race.winner_id).collect();
    let failures: Vec<Json<&[Failure]>> = races.iter().map(|race| Json(race.failures.as_slice())).collect();
    let saved = sqlx::query!(
        "update chat_race
         set state = saved.state, winner_id = saved.winner_id, failures = saved.failures,
             expires_at = coalesce(switchboard.now() + make_interval(secs => $6), expires_at),
             version = version + 1, updated_at = switchboard.now()
         from unnest($2::uuid[], $3::text[], $4::uuid[], $5::jsonb[]) as saved (key, state, winner_id, failures)
         where chat_race.company_id = $1 and chat_race.key = saved.key
         returning chat_race.key, expires_at, version, updated_at",
        company_id,
        &keys,
        &states as &[&str],
        &winner_ids as &[Option<Uuid>],
        &failures as _,
        cap_seconds,
    )
    .fetch_all(connection)
    .await?;
    for race in races {
        let row = saved.iter().find(|row| row.key == race.key);
        let row = row.ok_or_else(|| Error::internal("a race that is locked is not there"))?;
        race.expires_at = row.expires_at;
        race.version = row.version;
        race.updated_at = row.updated_at;
    }
    Ok(())
}

/// Finishes one chat.
pub(super) async fn finish_chat(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
    reason: CloseReason,
) -> Result<ChatRecord> {
    let chat = chats!(
        "update chat
         set status = 'FINISHED', close_reason = $3, finished_at = switchboard.now(),
             version = version + 1, updated_at = switchboard.now()
         where chat.company_id = $1 and chat.id = $2 and chat.status <> 'FINISHED'
         returning",
        "",
        company_id,
        id,
        reason.as_str()
    );
    Ok(chat.fetch_one(connection).await?)
}

/// Withdraws every offer of the race that is still out.
pub(super) async fn withdraw_offers(
    connection: &mut PgConnection,
    company_id: Uuid,
    key: Uuid,
    reason: CloseReason,
) -> Result<Vec<ChatRecord>> {
    let chats = chats!(
        "update chat
         set status = 'FINISHED', close_reason = $3, finished_at = switchboard.now(),
             version = version + 1, updated_at = switchboard.now()
         where chat.company_id = $1 and chat.key = $2 and chat.status = 'ACTIVE'
         returning",
        "",
        company_id,
        key,
        reason.as_str()
    );
    Ok(chats.fetch_all(connection).await?)
}

/// Flags an active chat as missed; `None` if it is no longer active, or was flagged before.
pub(super) async fn flag_missed(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
) -> Result<Option<ChatRecord>> {
    let chat = chats!(
        "update chat
         set missed = true, version = version + 1, updated_at = switchboard.now()
         where chat.company_id = $1 and chat.id = $2 and chat.status = 'ACTIVE' and not chat.missed
         returning",
        "",
        company_id,
        id
    );
    Ok(chat.fetch_optional(connection).await?)
}

/// The races in which this contract has an unfinished chat. The contract is locked, so that none is added.
pub(super) async fn unfinished_races(
    connection: &mut PgConnection,
    company_id: Uuid,
    contract_id: Uuid,
) -> Result<Vec<Uuid>> {
    let keys = sqlx::query_scalar!(
        "select key from chat where company_id = $1 and contract_id = $2 and status <> 'FINISHED' order by key",
        company_id,
        contract_id,
    )
    .fetch_all(connection)
    .await?;
    Ok(keys)
}

/// Moves the contract's unfinished chats in these races to `agent_id`. The contract and the races are locked.
pub(super) async fn reassign_chats(
    connection: &mut PgConnection,
    company_id: Uuid,
    contract_id: Uuid,
    keys: &[Uuid],
    agent_id: Option<Uuid>,
) -> Result<Vec<ChatRecord>> {
    let chats = chats!(
        "update chat
         set agent_id = $4, version = version + 1, updated_at = switchboard.now()
         where chat.company_id = $1 and chat.contract_id = $2 and chat.key = any($3) and chat.status <> 'FINISHED'
         returning",
        "",
        company_id,
        contract_id,
        keys,
        agent_id
    );
    Ok(chats.fetch_all(connection).await?)
}
