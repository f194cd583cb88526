//! Every query that only openings need. Writers hold the contracts' locks.

use ipnet::IpNet;
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::CustomerRequest;
use crate::{
    chat::{
        contract::ContractRecord,
        race::{
            record::{ChatRecord, Failure, RaceRecord},
            sql::{RaceRow, chats, races},
            state::{ChatStatus, CloseReason, RaceState},
        },
    },
    platform::error::Result,
};

/// Inserts the race unless its key is taken; false if it was. Waits for another transaction that inserts it now.
/// Its version is 0 until [`save_race`](crate::chat::race::sql::save_race) raises it at the end of the transaction.
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
    let rows = races!(
        "insert into chat_race (company_id, key, website_id, owner, state, expires_at)
         select $1, new.key, new.website_id, new.owner, 'WAITING', switchboard.now() + make_interval(secs => $5)
         from unnest($2::uuid[], $3::uuid[], $4::text[]) as new (key, website_id, owner)
         order by new.key
         on conflict (company_id, key) do nothing
         returning",
        "",
        company_id,
        &keys,
        &website_ids,
        &owners as &[&str],
        cap_seconds
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
    let ids: Vec<Uuid> = offers.iter().map(|_| crate::platform::clock::new_id()).collect();
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
