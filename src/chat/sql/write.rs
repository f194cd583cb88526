//! Writing decided races: one statement for those that are new, one for those that exist.
//!
//! Each checks the premises of its races and writes the rest, so that every race is written whole or not at all.

use std::collections::HashSet;

use ipnet::IpNet;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    chat::{decision::RaceWrite, message::MessageRecord, record::ChatRecord, rules::CloseReason},
    platform::{error::Result, unit::ChangeColumns},
};

/// One column of some rows, for `unnest`.
fn column<'a, R, T>(rows: &'a [R], value: impl FnMut(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// Writes decided races, each if its premises still hold. Returns the keys of those that were written.
pub(in crate::chat) async fn write(
    connection: &mut PgConnection,
    company_id: Uuid,
    writes: &[RaceWrite],
) -> Result<HashSet<Uuid>> {
    let (new, existing): (Vec<&RaceWrite>, Vec<&RaceWrite>) =
        writes.iter().partition(|write| write.base_revision.is_none());
    let mut written = HashSet::new();
    if !new.is_empty() {
        written.extend(insert(connection, company_id, &new).await?);
    }
    if !existing.is_empty() {
        written.extend(update(connection, company_id, &existing).await?);
    }
    Ok(written)
}

/// The timers and events of some races as columns, and beside each the key of its race.
#[derive(Default)]
struct RaceChanges<'a> {
    columns: ChangeColumns<'a>,
    cleared_keys: Vec<Uuid>,
    set_keys: Vec<Uuid>,
    event_keys: Vec<Uuid>,
}

impl<'a> RaceChanges<'a> {
    fn of(writes: &[&'a RaceWrite]) -> Self {
        let mut changes = Self::default();
        for write in writes {
            changes.columns.add(&write.changes);
            changes.cleared_keys.resize(changes.columns.cleared.purposes.len(), write.race.key);
            changes.set_keys.resize(changes.columns.set.purposes.len(), write.race.key);
            changes.event_keys.resize(changes.columns.events.versions.len(), write.race.key);
        }
        changes
    }
}

/// Each with the key of its race.
fn premises(writes: &[&RaceWrite]) -> Vec<(Uuid, Uuid, i32)> {
    let premises = |write: &&RaceWrite| {
        let key = write.race.key;
        write.premises.iter().map(move |&(contract, version)| (key, contract, version)).collect::<Vec<_>>()
    };
    writes.iter().flat_map(premises).collect()
}

async fn insert(connection: &mut PgConnection, company_id: Uuid, writes: &[&RaceWrite]) -> Result<Vec<Uuid>> {
    let premises = premises(writes);
    let new: Vec<&ChatRecord> = writes.iter().flat_map(|write| &write.new_chats).collect();
    let notes = RaceChanges::of(writes);
    let ChangeColumns { set, events, .. } = &notes.columns;
    let inserted = sqlx::query_file_scalar!(
        "src/chat/sql/insert_races.sql",
        company_id,
        &column(writes, |write| write.race.key),
        &column(writes, |write| write.race.website_id),
        &column(writes, |write| write.race.owner.as_str()) as &[&str],
        &column(writes, |write| write.race.state.as_str()) as &[&str],
        &column(writes, |write| write.race.winner_id) as &[Option<Uuid>],
        &column(writes, |write| Json(write.race.failures.as_slice())) as _,
        &column(writes, |write| write.race.reoffers),
        &column(writes, |write| write.race.expires_at),
        &column(writes, |write| write.race.version),
        &column(writes, |write| write.race.inserted_at),
        &column(writes, |write| write.race.updated_at),
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
        &notes.set_keys,
        &set.subject_types as &[&str],
        &set.subject_ids as &[&str],
        &set.purposes as &[&str],
        &set.due_at,
        &set.tokens,
        &notes.event_keys,
        &events.subject_types as &[&str],
        &events.subject_ids as &[&str],
        &events.versions,
        &events.event_types as &[&str],
        &events.actors as &[Option<&str>],
        &events.payloads as &[&str],
        &events.previous as &[Option<&str>],
    )
    .fetch_all(connection)
    .await?;
    Ok(inserted)
}

async fn update(connection: &mut PgConnection, company_id: Uuid, writes: &[&RaceWrite]) -> Result<Vec<Uuid>> {
    let premises = premises(writes);
    let new: Vec<&ChatRecord> = writes.iter().flat_map(|write| &write.new_chats).collect();
    let changed: Vec<(&ChatRecord, i32)> =
        writes.iter().flat_map(|write| write.changed_chats.iter().map(|(chat, read)| (chat, *read))).collect();
    let openings: Vec<(Uuid, &MessageRecord)> =
        writes.iter().filter_map(|write| Some((write.race.key, write.opening.as_ref()?))).collect();
    let notes = RaceChanges::of(writes);
    let ChangeColumns { set, cleared, events } = &notes.columns;
    let updated = sqlx::query_file_scalar!(
        "src/chat/sql/update_races.sql",
        company_id,
        &column(writes, |write| write.race.key),
        &column(writes, |write| write.base_revision) as &[Option<i64>],
        &column(writes, |write| write.race.state.as_str()) as &[&str],
        &column(writes, |write| write.race.winner_id) as &[Option<Uuid>],
        &column(writes, |write| Json(write.race.failures.as_slice())) as _,
        &column(writes, |write| write.race.expires_at),
        &column(writes, |write| write.race.version),
        &column(writes, |write| write.race.updated_at),
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
        &notes.cleared_keys,
        &cleared.subject_types as &[&str],
        &cleared.subject_ids as &[&str],
        &cleared.purposes as &[&str],
        &notes.set_keys,
        &set.subject_types as &[&str],
        &set.subject_ids as &[&str],
        &set.purposes as &[&str],
        &set.due_at,
        &set.tokens,
        &notes.event_keys,
        &events.subject_types as &[&str],
        &events.subject_ids as &[&str],
        &events.versions,
        &events.event_types as &[&str],
        &events.actors as &[Option<&str>],
        &events.payloads as &[&str],
        &events.previous as &[Option<&str>],
    )
    .fetch_all(connection)
    .await?;
    Ok(updated)
}
