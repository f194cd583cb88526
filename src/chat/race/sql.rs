//! Every query on races and chats. Writers hold the race's lock, unless said otherwise.

use ipnet::IpNet;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    open::CustomerRequest,
    record::{ChatRecord, Failure, RaceRecord},
    state::{ChatStatus, CloseReason, RaceState},
};
use crate::{chat::contract::ContractRecord, error::Result};

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

impl RaceRow {
    /// The record, still without its agents.
    fn into_record(self) -> RaceRecord {
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

/// The chats of one race, oldest first.
pub(super) async fn chats_of_race(
    connection: &mut PgConnection,
    company_id: Uuid,
    key: Uuid,
) -> Result<Vec<ChatRecord>> {
    let chats = chats!(
        "select",
        "from chat where chat.company_id = $1 and chat.key = $2 order by chat.inserted_at, chat.id",
        company_id,
        key
    );
    Ok(chats.fetch_all(connection).await?)
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
    let row = sqlx::query_as!(
        RaceRow,
        r#"select company_id, key, website_id, owner, state as "state: RaceState", winner_id,
               failures as "failures: Json<Vec<Failure>>", reoffers, expires_at, version, inserted_at, updated_at
           from chat_race where company_id = $1 and key = $2"#,
        company_id,
        key,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(RaceRow::into_record))
}

/// Inserts the race unless its key is taken; false if it was. Waits for another transaction that inserts it now.
/// Its version is 0 until [`save_race`] raises it at the end of the transaction.
pub(super) async fn insert_race(
    connection: &mut PgConnection,
    company_id: Uuid,
    key: Uuid,
    website_id: Uuid,
    owner: &str,
    cap_seconds: f64,
    reoffers: bool,
) -> Result<bool> {
    let inserted = sqlx::query!(
        "insert into chat_race (company_id, key, website_id, owner, state, expires_at, reoffers, version)
         values ($1, $2, $3, $4, 'OFFLINE', switchboard.now() + make_interval(secs => $5), $6, 0)
         on conflict (company_id, key) do nothing",
        company_id,
        key,
        website_id,
        owner,
        cap_seconds,
        reoffers,
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Locks these races, ascending, and answers them as they are under the lock, without their agents. Nothing else is
/// read here: this statement's snapshot is older than its locks.
pub(super) async fn lock_races(
    connection: &mut PgConnection,
    company_id: Uuid,
    keys: &[Uuid],
) -> Result<Vec<RaceRecord>> {
    let rows = sqlx::query_as!(
        RaceRow,
        r#"select company_id, key, website_id, owner, state as "state: RaceState", winner_id,
               failures as "failures: Json<Vec<Failure>>", reoffers, expires_at, version, inserted_at, updated_at
           from chat_race where company_id = $1 and key = any($2)
           order by key
           for no key update"#,
        company_id,
        keys,
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
    let saved = sqlx::query!(
        "update chat_race
         set state = $3, winner_id = $4, failures = $5,
             expires_at = coalesce(switchboard.now() + make_interval(secs => $6), expires_at),
             version = version + 1, updated_at = switchboard.now()
         where company_id = $1 and key = $2
         returning expires_at, version, updated_at",
        race.company_id,
        race.key,
        race.state.as_str(),
        race.winner_id,
        Json(&race.failures) as _,
        cap_seconds,
    )
    .fetch_one(connection)
    .await?;
    race.expires_at = saved.expires_at;
    race.version = saved.version;
    race.updated_at = saved.updated_at;
    Ok(())
}

/// A race that is about to be inserted with its first offers.
pub(super) struct NewOpenRace<'a> {
    /// The key.
    pub(super) key: Uuid,
    /// Where the customer asks.
    pub(super) website_id: Uuid,
    /// Who asks.
    pub(super) owner: &'a str,
}

/// Inserts those of these races whose keys are free, ascending, already waiting; answers them, without their agents.
/// Their offers are to be inserted in the same transaction. Waits for others that insert the same keys now.
pub(super) async fn insert_open_races(
    connection: &mut PgConnection,
    company_id: Uuid,
    races: &[NewOpenRace<'_>],
    cap_seconds: f64,
) -> Result<Vec<RaceRecord>> {
    if races.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<Uuid> = races.iter().map(|race| race.key).collect();
    let website_ids: Vec<Uuid> = races.iter().map(|race| race.website_id).collect();
    let owners: Vec<&str> = races.iter().map(|race| race.owner).collect();
    let rows = sqlx::query_as!(
        RaceRow,
        r#"insert into chat_race (company_id, key, website_id, owner, state, expires_at)
           select $1, new.key, new.website_id, new.owner, 'WAITING', switchboard.now() + make_interval(secs => $5)
           from unnest($2::uuid[], $3::uuid[], $4::text[]) as new (key, website_id, owner)
           order by new.key
           on conflict (company_id, key) do nothing
           returning company_id, key, website_id, owner, state as "state: RaceState", winner_id,
               failures as "failures: Json<Vec<Failure>>", expires_at, reoffers, version, inserted_at, updated_at"#,
        company_id,
        &keys,
        &website_ids,
        &owners as &[&str],
        cap_seconds,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(RaceRow::into_record).collect())
}

/// A chat that is about to be inserted.
pub(super) struct Offer<'a> {
    /// Of which race.
    pub(super) race: &'a RaceRecord,
    /// To whom.
    pub(super) contract: &'a ContractRecord,
    /// What the customer asked.
    pub(super) request: &'a CustomerRequest,
}

/// Makes these offers: one chat each, finished from birth where `closed` gives a reason. The times are the database's,
/// read here, under the lock.
pub(super) async fn insert_chats(
    connection: &mut PgConnection,
    company_id: Uuid,
    offers: &[Offer<'_>],
    closed: Option<CloseReason>,
) -> Result<Vec<ChatRecord>> {
    let ids: Vec<Uuid> = offers.iter().map(|_| crate::clock::new_id()).collect();
    let keys: Vec<Uuid> = offers.iter().map(|offer| offer.race.key).collect();
    let website_ids: Vec<Uuid> = offers.iter().map(|offer| offer.race.website_id).collect();
    let visitors: Vec<&str> = offers.iter().map(|offer| offer.race.owner.as_str()).collect();
    let contract_ids: Vec<Uuid> = offers.iter().map(|offer| offer.contract.id).collect();
    let agent_ids: Vec<Option<Uuid>> = offers.iter().map(|offer| offer.contract.agent_id).collect();
    let miss_times: Vec<Option<i32>> = offers.iter().map(|offer| offer.contract.chat_miss_time).collect();
    let headlines: Vec<&str> = offers.iter().map(|offer| offer.request.headline.as_str()).collect();
    let names: Vec<&str> = offers.iter().map(|offer| offer.request.customer_name.as_str()).collect();
    let addresses: Vec<Option<IpNet>> = offers.iter().map(|offer| offer.request.ip_address).collect();
    let origins: Vec<Option<IpNet>> = offers.iter().map(|offer| offer.request.created_from).collect();
    let chats = chats!(
        "with moment as materialized (select switchboard.now() as now)
         insert into chat (company_id, id, key, website_id, contract_id, agent_id, visitor, status, close_reason,
             headline, customer_name, ip_address, miss_at, inserted_at, updated_at, finished_at, created_from)
         select $1, offer.id, offer.key, offer.website_id, offer.contract_id, offer.agent_id, offer.visitor,
             case when $2::text is null then 'ACTIVE' else 'FINISHED' end, $2, offer.headline, offer.customer_name,
             offer.ip_address,
             case when $2::text is null and offer.miss_time > 0
                 then moment.now + make_interval(secs => offer.miss_time) end,
             moment.now, moment.now, case when $2::text is not null then moment.now end, offer.created_from
         from moment, unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::uuid[], $8::uuid[], $9::int[],
             $10::text[], $11::text[], $12::inet[], $13::inet[])
             as offer (id, key, website_id, visitor, contract_id, agent_id, miss_time, headline, customer_name,
                 ip_address, created_from)
         returning",
        "",
        company_id,
        closed.map(CloseReason::as_str),
        &ids,
        &keys,
        &website_ids,
        &visitors as &[&str],
        &contract_ids,
        &agent_ids as &[Option<Uuid>],
        &miss_times as &[Option<i32>],
        &headlines as &[&str],
        &names as &[&str],
        &addresses as &[Option<IpNet>],
        &origins as &[Option<IpNet>],
    );
    Ok(chats.fetch_all(connection).await?)
}

/// Starts an active chat, which gets its opening message in the same transaction.
pub(super) async fn start_chat(connection: &mut PgConnection, company_id: Uuid, id: Uuid) -> Result<ChatRecord> {
    let chat = chats!(
        "update chat
         set status = 'STARTED', started_at = switchboard.now(), message_count = message_count + 1,
             version = version + 1, updated_at = switchboard.now()
         where chat.company_id = $1 and chat.id = $2 and chat.status = 'ACTIVE'
         returning",
        "",
        company_id,
        id
    );
    Ok(chat.fetch_one(connection).await?)
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
