//! Races under decision: read, lock, write.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use ipnet::IpNet;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    chat::{
        decision::{RaceWrite, SeenRace},
        message::MessageRecord,
        record::{ChatRecord, Failure, Race, RaceRecord},
        rules::{ChatStatus, CloseReason, RaceState},
    },
    platform::{
        error::{Error, Result},
        unit::ChangeColumns,
    },
};

/// A row of `read_races.sql`: all but the time is null where there is no race, or no chat in it.
struct RaceRow {
    now: OffsetDateTime,
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
                vacant.insert(SeenRace { race, revision, agent_wrote: false })
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

/// One column of some rows, for `unnest`.
fn column<'a, R, T>(rows: &'a [R], value: impl FnMut(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// Writes decided races, each if its premises still hold. Returns the keys of those that were written.
#[expect(clippy::too_many_lines, reason = "one statement; its parameters are a line each")]
pub(in crate::chat) async fn write(
    connection: &mut PgConnection,
    company_id: Uuid,
    writes: &[RaceWrite],
) -> Result<HashSet<Uuid>> {
    let races: Vec<(&RaceRecord, Option<i64>)> =
        writes.iter().map(|write| (&write.race, write.base_revision)).collect();
    let premises: Vec<(Uuid, Uuid, i32)> = writes
        .iter()
        .flat_map(|write| write.premises.iter().map(|&(contract, version)| (write.race.key, contract, version)))
        .collect();
    let new: Vec<&ChatRecord> = writes.iter().flat_map(|write| &write.new_chats).collect();
    let changed: Vec<(&ChatRecord, i32)> =
        writes.iter().flat_map(|write| write.changed_chats.iter().map(|(chat, read)| (chat, *read))).collect();
    let openings: Vec<(Uuid, &MessageRecord)> =
        writes.iter().filter_map(|write| Some((write.race.key, write.opening.as_ref()?))).collect();
    let mut columns = ChangeColumns::default();
    let (mut cleared_keys, mut set_keys, mut event_keys) = (Vec::new(), Vec::new(), Vec::new());
    for write in writes {
        columns.add(&write.changes);
        cleared_keys.resize(columns.cleared.purposes.len(), write.race.key);
        set_keys.resize(columns.set.purposes.len(), write.race.key);
        event_keys.resize(columns.events.versions.len(), write.race.key);
    }
    let ChangeColumns { set, cleared, events } = &columns;
    let written = sqlx::query_file_scalar!(
        "src/chat/sql/write_races.sql",
        company_id,
        &column(&races, |(race, _)| race.key),
        &column(&races, |(_, base)| *base) as &[Option<i64>],
        &column(&races, |(race, _)| race.website_id),
        &column(&races, |(race, _)| race.owner.as_str()) as &[&str],
        &column(&races, |(race, _)| race.state.as_str()) as &[&str],
        &column(&races, |(race, _)| race.winner_id) as &[Option<Uuid>],
        &column(&races, |(race, _)| Json(race.failures.as_slice())) as _,
        &column(&races, |(race, _)| race.reoffers),
        &column(&races, |(race, _)| race.expires_at),
        &column(&races, |(race, _)| race.version),
        &column(&races, |(race, _)| race.inserted_at),
        &column(&races, |(race, _)| race.updated_at),
        &column(&premises, |premise| premise.0),
        &column(&premises, |premise| premise.1),
        &column(&premises, |premise| premise.2),
        &column(&new, |chat| chat.id),
        &column(&new, |chat| chat.key),
        &column(&new, |chat| chat.website_id),
        &column(&new, |chat| chat.contract_id),
        &column(&new, |chat| chat.agent_id) as &[Option<Uuid>],
        &column(&new, |chat| chat.visitor.as_str()) as &[&str],
        &column(&new, |chat| chat.status.as_str()) as &[&str],
        &column(&new, |chat| chat.close_reason.map(CloseReason::as_str)) as &[Option<&str>],
        &column(&new, |chat| chat.headline.as_str()) as &[&str],
        &column(&new, |chat| chat.customer_name.as_str()) as &[&str],
        &column(&new, |chat| chat.ip_address) as &[Option<IpNet>],
        &column(&new, |chat| chat.created_from) as &[Option<IpNet>],
        &column(&new, |chat| chat.miss_at) as &[Option<OffsetDateTime>],
        &column(&new, |chat| chat.version),
        &column(&new, |chat| chat.inserted_at),
        &column(&new, |chat| chat.updated_at),
        &column(&new, |chat| chat.started_at) as &[Option<OffsetDateTime>],
        &column(&new, |chat| chat.finished_at) as &[Option<OffsetDateTime>],
        &column(&changed, |(chat, _)| chat.id),
        &column(&changed, |(chat, _)| chat.key),
        &column(&changed, |(_, read)| *read),
        &column(&changed, |(chat, _)| chat.agent_id) as &[Option<Uuid>],
        &column(&changed, |(chat, _)| chat.status.as_str()) as &[&str],
        &column(&changed, |(chat, _)| chat.missed),
        &column(&changed, |(chat, _)| chat.close_reason.map(CloseReason::as_str)) as &[Option<&str>],
        &column(&changed, |(chat, _)| chat.headline.as_str()) as &[&str],
        &column(&changed, |(chat, _)| chat.customer_name.as_str()) as &[&str],
        &column(&changed, |(chat, _)| chat.rating) as &[Option<i32>],
        &column(&changed, |(chat, _)| chat.miss_at) as &[Option<OffsetDateTime>],
        &column(&changed, |(chat, _)| chat.version),
        &column(&changed, |(chat, _)| chat.updated_at),
        &column(&changed, |(chat, _)| chat.started_at) as &[Option<OffsetDateTime>],
        &column(&changed, |(chat, _)| chat.finished_at) as &[Option<OffsetDateTime>],
        &column(&openings, |opening| opening.0),
        &column(&openings, |opening| opening.1.chat_id),
        &column(&openings, |opening| opening.1.id),
        &column(&openings, |opening| opening.1.text.as_str()) as &[&str],
        &column(&openings, |opening| opening.1.author.as_str()) as &[&str],
        &column(&openings, |opening| opening.1.inserted_at),
        &cleared_keys,
        &cleared.subject_types as &[&str],
        &cleared.subject_ids as &[&str],
        &cleared.purposes as &[&str],
        &set_keys,
        &set.subject_types as &[&str],
        &set.subject_ids as &[&str],
        &set.purposes as &[&str],
        &set.due_at,
        &set.tokens,
        &event_keys,
        &events.subject_types as &[&str],
        &events.subject_ids as &[&str],
        &events.versions,
        &events.event_types as &[&str],
        &events.actors as &[Option<&str>],
        &events.payloads as &[&str],
        &events.previous as &[Option<&str>],
        &events.scopes as &[Option<String>],
    )
    .fetch_all(connection)
    .await?;
    Ok(written.into_iter().collect())
}
