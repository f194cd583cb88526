//! Every query on the event log.

use std::sync::OnceLock;

use futures_util::TryStreamExt as _;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Event, EventKey, NewEvent, Position, Subject,
    position::{Incarnation, Snapshot},
};
use crate::platform::error::{Error, Result};

/// Appends `events`. The last statement of their transaction, so that the subjects' locks are held no longer
/// than needed after the events have their time.
pub async fn append(connection: &mut PgConnection, events: &[NewEvent]) -> Result<()> {
    let companies: Vec<Uuid> = events.iter().map(|event| event.company_id).collect();
    let subject_types: Vec<&str> = events.iter().map(|event| event.subject.kind).collect();
    let subject_ids: Vec<&str> = events.iter().map(|event| event.subject.id.as_str()).collect();
    let versions: Vec<i32> = events.iter().map(|event| event.version).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind).collect();
    let actors: Vec<Option<&str>> = events.iter().map(|event| event.actor.as_deref()).collect();
    let payloads: Vec<&str> = events.iter().map(|event| event.payload.as_str()).collect();
    let previous: Vec<Option<&str>> = events.iter().map(|event| event.previous.as_deref()).collect();
    sqlx::query!(
        "insert into event (company_id, subject_type, subject_id, version, type, actor, payload, previous)
         select company_id, subject_type, subject_id, version, type, actor, payload::json, previous::json
         from unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[], $7::text[], $8::text[])
             as new (company_id, subject_type, subject_id, version, type, actor, payload, previous)",
        &companies,
        &subject_types as &[&str],
        &subject_ids as &[&str],
        &versions,
        &kinds as &[&str],
        &actors as &[Option<&str>],
        &payloads as &[&str],
        &previous as &[Option<&str>],
    )
    .execute(connection)
    .await?;
    metrics::counter!("switchboard_events_appended_total").increment(events.len() as u64);
    Ok(())
}

/// A row of the log joined to the state of the read; all event columns are null when nothing was found.
struct EventRow {
    company_id: Option<Uuid>,
    subject_type: Option<String>,
    subject_id: Option<String>,
    version: Option<i32>,
    kind: Option<String>,
    actor: Option<String>,
    payload: Option<String>,
    previous: Option<String>,
    occurred_at: Option<OffsetDateTime>,
    xid: Option<i64>,
    snapshot: Option<String>,
    floor: Option<i64>,
}

impl EventRow {
    fn into_event(self) -> Result<Option<Event>> {
        let Some(xid) = self.xid else { return Ok(None) };
        let missing = || Error::internal("an event row lacks a column that is not null");
        Ok(Some(Event {
            company_id: self.company_id.ok_or_else(missing)?,
            subject_type: self.subject_type.ok_or_else(missing)?,
            subject_id: self.subject_id.ok_or_else(missing)?,
            version: self.version.ok_or_else(missing)?,
            kind: self.kind.ok_or_else(missing)?,
            actor: self.actor,
            payload: self.payload.ok_or_else(missing)?,
            previous: self.previous,
            occurred_at: self.occurred_at.ok_or_else(missing)?,
            xid: u64::try_from(xid).map_err(Error::internal)?,
            record: OnceLock::default(),
            before: OnceLock::default(),
            fields: OnceLock::default(),
            render_cache: super::RenderCache::default(),
        }))
    }
}

/// A statement whose rows are events: what comes after their columns, the arguments. With a head of its own, which
/// then gives `snapshot` and `floor`, it may also have a row that is no event.
macro_rules! events {
    ($tail:literal $(, $argument:expr)* $(,)?) => {
        events!("select null::text as snapshot, null::bigint as floor, "; $tail $(, $argument)*)
    };
    ($head:literal; $tail:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            EventRow,
            $head
                + r#" company_id as "company_id?", subject_type as "subject_type?", subject_id as "subject_id?",
                    version as "version?", type as "kind?", actor, payload::text as "payload?",
                    previous::text as "previous?", occurred_at as "occurred_at?", xid::text::bigint as "xid?" "#
                + $tail
            $(, $argument)*
        )
    };
}

/// The events among `rows`.
fn collect(rows: Vec<EventRow>) -> Result<Vec<Event>> {
    rows.into_iter().filter_map(|row| row.into_event().transpose()).collect()
}

/// What one read of the log found.
pub(super) struct Found {
    /// In the order (company, subject, version).
    pub(super) events: Vec<Event>,
    /// The position after the read.
    pub(super) after: Position,
    /// How far the log had been dropped.
    pub(super) floor: u64,
}

/// Everything after `position`. One statement without LIMIT: the rows and the next pending transactions must come from
/// one snapshot.
pub(super) async fn read_after(connection: &mut PgConnection, position: &Position) -> Result<Found> {
    let (seen, pending) = parameters(position);
    let rows = events!(
        "with state as (
             select pg_current_snapshot()::text as snapshot, (select xid::text::bigint from event_floor where only_row) as floor
         )
         select snapshot, floor, ";
        "from state
         left join lateral (
             select * from event
             where event.xid > $1::text::xid8 or event.xid = any($2::text[]::xid8[])
         ) as found on true
         order by company_id, subject_type, subject_id, version",
        seen,
        &pending,
    )
    .fetch(connection)
    .try_collect::<Vec<_>>()
    .await?;
    let state = rows.first().and_then(|row| Some((row.snapshot.as_deref()?.parse(), row.floor?)));
    let (snapshot, floor) = state.ok_or_else(|| Error::internal("a read of the log gave no snapshot or floor"))?;
    let (snapshot, floor): (Snapshot, _) = (snapshot?, u64::try_from(floor).map_err(Error::internal)?);
    let events = collect(rows)?;
    let after = position.advanced(events.iter().map(|event| event.xid), &snapshot);
    Ok(Found { events, after, floor })
}

/// True if no more than `most` events lie after `position`.
pub(super) async fn is_near_end(connection: &mut PgConnection, position: &Position, most: i64) -> Result<bool> {
    let near = sqlx::query_scalar!(
        r#"select not exists (select from event where xid > $1::text::xid8 order by xid offset $2) as "near!""#,
        position.seen.to_string(),
        most,
    )
    .fetch_one(connection)
    .await?;
    Ok(near)
}

/// The position's parts as query parameters; xid8 travels as text.
fn parameters(position: &Position) -> (String, Vec<String>) {
    (position.seen.to_string(), position.pending.iter().map(u64::to_string).collect())
}

/// The present end of the log as seen by this connection's snapshot, and how far the log has been dropped. In a
/// repeatable-read transaction it agrees with everything else that is read there.
pub async fn position_now(connection: &mut PgConnection) -> Result<(Position, u64)> {
    let row = sqlx::query!(
        r#"select (select max(xid::text::bigint) from (select xid from event order by xid desc limit 1) as newest) as "seen?",
               (select xid::text::bigint from event_floor where only_row) as "floor!",
               pg_current_snapshot()::text as "snapshot!",
               (select system_identifier from pg_control_system()) as "system!",
               ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int as "timeline!""#
    )
    .fetch_one(connection)
    .await?;
    let floor = u64::try_from(row.floor).map_err(Error::internal)?;
    let seen = row.seen.map_or(Ok(floor), u64::try_from).map_err(Error::internal)?.max(floor);
    let incarnation = Incarnation { system: row.system, timeline: row.timeline };
    let start = Position { incarnation, seen, pending: std::sync::Arc::default() };
    Ok((start.advanced([], &row.snapshot.parse()?), floor))
}

/// Keeps partitions of the log from going until the transaction ends. In a repeatable-read transaction its first
/// statement, which takes no snapshot yet: otherwise a day could go after the snapshot that still shows the old floor.
pub async fn hold_log(connection: &mut PgConnection) -> Result<()> {
    // Only the parent: this waits for nobody, as nobody ever locks that exclusively but a migration.
    sqlx::query!("lock table only event in access share mode").execute(connection).await?;
    Ok(())
}

/// What a resume found.
#[derive(Debug)]
pub enum Resumed {
    /// Every event since the cursor that may concern the stream, in order.
    Events(Vec<Event>),
    /// The log does not reach back to the cursor, or too many events lie between: send the present state again.
    Gap,
}

/// A stretch of the log that one stream looks at.
#[derive(Debug)]
pub struct Stretch {
    /// The tenant.
    pub company_id: Uuid,
    /// Of subjects of these kinds.
    pub kinds: Vec<&'static str>,
    /// Of this one subject, if given.
    pub subject_id: Option<String>,
    /// What this does not contain.
    pub since: Position,
    /// What this contains.
    pub until: Position,
}

/// Every event of `stretch`. To be called in the transaction that gave its end and `floor`.
pub async fn resume(connection: &mut PgConnection, stretch: &Stretch, floor: u64, limit: usize) -> Result<Resumed> {
    if !stretch.since.is_held(&stretch.until, floor) {
        return Ok(Resumed::Gap);
    }
    let events = read_stretch(connection, stretch, None, limit.saturating_add(1)).await?;
    Ok(if events.len() > limit { Resumed::Gap } else { Resumed::Events(events) })
}

/// The first `limit` events of `stretch` behind `last`, in the order (kind of subject, subject, version). Whether the
/// log still holds the stretch is for the caller to ask, in the same transaction.
pub async fn read_stretch(
    connection: &mut PgConnection,
    stretch: &Stretch,
    last: Option<&EventKey>,
    limit: usize,
) -> Result<Vec<Event>> {
    let (seen, pending) = parameters(&stretch.since);
    let (end, open) = parameters(&stretch.until);
    let rows = events!(
        "from (
             select * from (
                 -- Fenced: without statistics the primary key looks better to the planner, and reads the whole day.
                 select * from event
                 where company_id = $1 and (xid > $4::text::xid8 or xid = any($5::text[]::xid8[]))
                 offset 0
             ) as missed
             -- The end is outside the fence: inside, a plan made while a day is empty looks for all before the end.
             where xid <= $6::text::xid8 and xid <> all($7::text[]::xid8[])
                 and subject_type = any($2) and ($3::text is null or subject_id = $3)
                 and ($8::text is null or (subject_type, subject_id, version) > ($8, $9, $10))
             order by subject_type, subject_id, version
             limit $11
         ) as page
         order by subject_type, subject_id, version",
        stretch.company_id,
        &stretch.kinds as &[&str],
        stretch.subject_id.as_deref(),
        seen,
        &pending,
        end,
        &open,
        last.map(|last| last.subject_type.as_str()),
        last.map(|last| last.subject_id.as_str()),
        last.map(|last| last.version),
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(connection)
    .await?;
    collect(rows)
}

/// Events of one subject after `version`. A gap if the log does not hold the next one; whether the subject has moved
/// on at all when none is held is for the caller to compare.
pub async fn resume_subject(
    connection: &mut PgConnection,
    company_id: Uuid,
    subject: &Subject,
    version: i32,
    limit: usize,
) -> Result<Resumed> {
    let events = subject_history(connection, company_id, subject.kind, &subject.id, version, limit + 1).await?;
    let next_is_dropped = events.first().is_some_and(|event| event.version != version + 1);
    Ok(if next_is_dropped || events.len() > limit { Resumed::Gap } else { Resumed::Events(events) })
}

/// At most `limit` kept events of one subject after `version`, oldest first.
async fn subject_history(
    connection: &mut PgConnection,
    company_id: Uuid,
    subject_type: &str,
    subject_id: &str,
    version: i32,
    limit: usize,
) -> Result<Vec<Event>> {
    let rows = events!(
        "from event
         where company_id = $1 and subject_type = $2 and subject_id = $3 and version > $4
         order by version
         limit $5",
        company_id,
        subject_type,
        subject_id,
        version,
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(connection)
    .await?;
    collect(rows)
}

/// A place in the history of one id: the edge cursor of `events`.
#[derive(Debug, PartialEq, Eq)]
pub struct HistoryPlace {
    occurred_at: OffsetDateTime,
    subject_type: String,
    version: i32,
}

impl HistoryPlace {
    /// Where `event` stands.
    pub fn of(event: &Event) -> Self {
        Self { occurred_at: event.occurred_at, subject_type: event.subject_type.clone(), version: event.version }
    }

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Result<Self> {
        let place = || {
            let mut parts = text.splitn(3, '.');
            let micros: i128 = parts.next()?.parse().ok()?;
            let version = parts.next()?.parse().ok()?;
            let occurred_at = OffsetDateTime::from_unix_timestamp_nanos(micros.checked_mul(1_000)?).ok()?;
            Some(Self { occurred_at, subject_type: parts.next()?.to_owned(), version })
        };
        place().ok_or_else(|| Error::invalid("after", "not a page cursor of this list"))
    }
}

impl std::fmt::Display for HistoryPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.occurred_at.unix_timestamp_nanos() / 1_000, self.version, self.subject_type)
    }
}

/// At most `limit` kept events about the id, as any of `kinds`, oldest first.
pub async fn history(
    connection: &mut PgConnection,
    company_id: Uuid,
    kinds: &[&str],
    subject_id: &str,
    after: Option<&HistoryPlace>,
    limit: usize,
) -> Result<Vec<Event>> {
    let rows = events!(
        "from event
         where company_id = $1 and subject_type = any($2) and subject_id = $3
             and ($4::timestamptz is null or (occurred_at, subject_type, version) > ($4, $5, $6))
         order by occurred_at, subject_type, version
         limit $7",
        company_id,
        kinds as &[&str],
        subject_id,
        after.map(|place| place.occurred_at),
        after.map(|place| place.subject_type.as_str()),
        after.map(|place| place.version),
        i64::try_from(limit).unwrap_or(i64::MAX),
    )
    .fetch_all(connection)
    .await?;
    collect(rows)
}

/// Wakes the readers of other processes; `sender` lets the sending process ignore its own.
pub(super) async fn notify(connection: &mut PgConnection, channel: &str, sender: &str) -> Result<()> {
    sqlx::query!("select pg_notify($1, $2)", channel, sender).execute(connection).await?;
    Ok(())
}
