//! Reading and locking races that are to be decided.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use ipnet::IpNet;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    chat::{
        decision::SeenRace,
        record::{ChatRecord, Failure, Race, RaceRecord},
        rules::{ChatStatus, CloseReason, RaceState},
    },
    platform::{
        error::{Error, Result},
        service::Outage,
    },
};

/// A row of `read_races.sql`: all but the times is null where there is no race, or no chat in it.
struct RaceRow {
    now: OffsetDateTime,
    resumed_at: Option<OffsetDateTime>,
    grace_until: Option<OffsetDateTime>,
    race_key: Option<Uuid>,
    race_website_id: Option<Uuid>,
    race_owner: Option<String>,
    race_state: Option<RaceState>,
    race_winner_id: Option<Uuid>,
    race_failures: Option<Json<Vec<Failure>>>,
    race_reoffers: Option<bool>,
    race_expires_at: Option<OffsetDateTime>,
    race_version: Option<i32>,
    race_revision: Option<i64>,
    race_coordinated: Option<bool>,
    race_inserted_at: Option<OffsetDateTime>,
    race_updated_at: Option<OffsetDateTime>,
    agent_wrote: Option<bool>,
    id: Option<Uuid>,
    contract_id: Option<Uuid>,
    agent_id: Option<Uuid>,
    visitor: Option<String>,
    status: Option<ChatStatus>,
    missed: Option<bool>,
    close_reason: Option<CloseReason>,
    headline: Option<String>,
    customer_name: Option<String>,
    ip_address: Option<IpNet>,
    created_from: Option<IpNet>,
    rating: Option<i32>,
    miss_at: Option<OffsetDateTime>,
    message_count: Option<i32>,
    version: Option<i32>,
    inserted_at: Option<OffsetDateTime>,
    updated_at: Option<OffsetDateTime>,
    started_at: Option<OffsetDateTime>,
    finished_at: Option<OffsetDateTime>,
}

impl RaceRow {
    fn outage(&self) -> Option<Outage> {
        Some(Outage { resumed_at: self.resumed_at?, grace_until: self.grace_until? })
    }

    /// `None`: the row is only the time. The columns of a race are not null.
    fn race(&mut self, company_id: Uuid) -> Option<(RaceRecord, i64)> {
        let record = RaceRecord {
            company_id,
            key: self.race_key?,
            website_id: self.race_website_id?,
            owner: self.race_owner.take()?,
            state: self.race_state?,
            winner_id: self.race_winner_id,
            failures: self.race_failures.take()?.0,
            reoffers: self.race_reoffers?,
            expires_at: self.race_expires_at?,
            agent_ids: Vec::new(),
            version: self.race_version?,
            inserted_at: self.race_inserted_at?,
            updated_at: self.race_updated_at?,
        };
        Some((record, self.race_revision?))
    }

    /// `None`: the race has no chats. The columns of a chat are not null, but for those that are optional there.
    fn chat(self, company_id: Uuid) -> Option<ChatRecord> {
        Some(ChatRecord {
            company_id,
            id: self.id?,
            key: self.race_key?,
            website_id: self.race_website_id?,
            contract_id: self.contract_id?,
            agent_id: self.agent_id,
            visitor: self.visitor?,
            status: self.status?,
            missed: self.missed?,
            close_reason: self.close_reason,
            headline: self.headline?,
            customer_name: self.customer_name?,
            ip_address: self.ip_address,
            created_from: self.created_from,
            rating: self.rating,
            miss_at: self.miss_at,
            message_count: self.message_count?,
            version: self.version?,
            inserted_at: self.inserted_at?,
            updated_at: self.updated_at?,
            started_at: self.started_at,
            finished_at: self.finished_at,
        })
    }
}

/// The database's time, and the races of these keys and of these chats, with all their chats. Takes no lock.
pub(in crate::chat) async fn read(
    connection: &mut PgConnection,
    company_id: Uuid,
    keys: &[Uuid],
    chat_ids: &[Uuid],
) -> Result<(OffsetDateTime, HashMap<Uuid, SeenRace>)> {
    let rows = sqlx::query_file_as!(RaceRow, "src/chat/sql/read_races.sql", company_id, keys, chat_ids)
        .fetch_all(connection)
        .await?;
    let now = rows.first().map(|row| row.now).ok_or_else(|| Error::internal("a read of races gave no time"))?;
    let mut races: HashMap<Uuid, SeenRace> = HashMap::new();
    for mut row in rows {
        let Some(key) = row.race_key else { continue };
        let seen = match races.entry(key) {
            Entry::Occupied(seen) => seen.into_mut(),
            Entry::Vacant(vacant) => {
                let Some((record, revision)) = row.race(company_id) else { continue };
                let race = Race { record, chats: Vec::new() };
                let is_coordinated = row.race_coordinated.unwrap_or_default();
                vacant.insert(SeenRace { race, revision, is_coordinated, agent_wrote: false, outage: row.outage() })
            }
        };
        seen.agent_wrote |= row.agent_wrote.unwrap_or_default();
        seen.race.chats.extend(row.chat(company_id));
    }
    for seen in races.values_mut() {
        seen.race.chats.sort_unstable_by_key(|chat| (chat.inserted_at, chat.id));
        seen.race.renew_agents();
    }
    Ok((now, races))
}

/// Locks these races, ascending, waiting for others that hold them.
pub(in crate::chat) async fn lock(connection: &mut PgConnection, company_id: Uuid, keys: &[Uuid]) -> Result<()> {
    sqlx::query_file!("src/chat/sql/lock_races.sql", company_id, keys).fetch_all(connection).await?;
    Ok(())
}

/// Locks the chats of these races, which are locked, ascending, waiting for writers of messages.
pub(in crate::chat) async fn lock_chats(connection: &mut PgConnection, company_id: Uuid, keys: &[Uuid]) -> Result<()> {
    sqlx::query_file!("src/chat/sql/lock_chats.sql", company_id, keys).fetch_all(connection).await?;
    Ok(())
}

/// Locks those of these races, and of the races of these chats, that nobody else has locked; returns their keys.
pub(in crate::chat) async fn try_lock(
    connection: &mut PgConnection,
    company_id: Uuid,
    keys: &[Uuid],
    chat_ids: &[Uuid],
) -> Result<HashSet<Uuid>> {
    let locked = sqlx::query_file_scalar!("src/chat/sql/try_lock_races.sql", company_id, keys, chat_ids);
    Ok(locked.fetch_all(connection).await?.into_iter().collect())
}

/// Locks those chats of these races, which are locked, that nobody else has locked; returns their ids.
pub(in crate::chat) async fn try_lock_chats(
    connection: &mut PgConnection,
    company_id: Uuid,
    keys: &HashSet<Uuid>,
) -> Result<HashSet<Uuid>> {
    let keys: Vec<Uuid> = keys.iter().copied().collect();
    let locked = sqlx::query_file_scalar!("src/chat/sql/try_lock_chats.sql", company_id, &keys);
    Ok(locked.fetch_all(connection).await?.into_iter().collect())
}
