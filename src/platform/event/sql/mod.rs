//! Every query on the event log. Each statement is a file of its own, which says what it locks.

mod read;

use sqlx::{Connection as _, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use self::read::EventRow;
pub(super) use self::read::read_after;
use super::{
    CursorKey, Event, EventKey, HistoryPlace, LogRange, NewEvent, Position, RangeScope, Subject,
    position::{Incarnation, LogName, Mark},
};
use crate::platform::error::{Error, Result};

/// After this many transactions of the whole database a company's newest events are not even counted: a narrow range is
/// read by its scopes.
const NEAR_TRANSACTIONS: u64 = 50_000;
/// No bound on a range: more events than a log holds.
const LONGEST_RANGE: usize = usize::MAX >> 2;

/// Appends `events`. Must be the last statement of their transaction, with the subjects locked.
pub async fn append(connection: &mut PgConnection, events: &[NewEvent]) -> Result<()> {
    let company_ids: Vec<Uuid> = events.iter().map(|event| event.company_id).collect();
    let subject_types: Vec<&str> = events.iter().map(|event| event.subject.subject_type).collect();
    let subject_ids: Vec<&str> = events.iter().map(|event| event.subject.id.as_str()).collect();
    let versions: Vec<i32> = events.iter().map(|event| event.version).collect();
    let event_types: Vec<&str> = events.iter().map(|event| event.event_type).collect();
    let actors: Vec<Option<&str>> = events.iter().map(|event| event.actor.as_deref()).collect();
    let payloads: Vec<&str> = events.iter().map(|event| event.payload.as_str()).collect();
    let previous: Vec<Option<&str>> = events.iter().map(|event| event.previous.as_deref()).collect();
    let scopes: Vec<Option<String>> = events.iter().map(NewEvent::scopes_text).collect();
    sqlx::query_file!(
        "src/platform/event/sql/append.sql",
        &company_ids,
        &subject_types as &[&str],
        &subject_ids as &[&str],
        &versions,
        &event_types as &[&str],
        &actors as &[Option<&str>],
        &payloads as &[&str],
        &previous as &[Option<&str>],
        &scopes as &[Option<String>],
    )
    .execute(connection)
    .await?;
    metrics::counter!("switchboard_events_appended_total").increment(events.len() as u64);
    Ok(())
}

fn events(rows: Vec<EventRow>) -> Result<Vec<Event>> {
    rows.into_iter().map(Event::try_from).collect()
}

/// True if at most `most` events follow `position`.
pub(super) async fn is_near_end(connection: &mut PgConnection, position: &Position, most: i64) -> Result<bool> {
    let near = sqlx::query_file_scalar!("src/platform/event/sql/is_near_end.sql", position.seen.to_string(), most)
        .fetch_one(connection)
        .await?;
    Ok(near)
}

/// The position's parts as query parameters; xid8 is passed as text.
fn parameters(position: &Position) -> (String, Vec<String>) {
    (position.seen.to_string(), position.pending.iter().map(u64::to_string).collect())
}

/// The present end of the log as seen by this connection's snapshot, and the greatest transaction that retention has
/// dropped. In a repeatable-read transaction it agrees with everything else that is read there.
pub async fn position_now(connection: &mut PgConnection) -> Result<(Position, u64)> {
    let row = sqlx::query_file!("src/platform/event/sql/position_now.sql").fetch_one(connection).await?;
    let key = row.cursor_key.try_into().map_err(|_| Error::internal("the key of cursors is not 32 bytes long"))?;
    let name = LogName { system: row.system, timeline: row.timeline, database: row.database, id: row.id };
    let floor = Mark { xid: u64::try_from(row.floor).map_err(Error::internal)?, at: row.floor_at };
    let newest = match row.seen {
        Some(seen) => Mark { xid: u64::try_from(seen).map_err(Error::internal)?, at: row.seen_at },
        None => floor,
    };
    let start = Position::at(Incarnation::new(name, CursorKey::new(key)), newest.max(floor));
    Ok((start.advanced([], &row.snapshot.parse()?), floor.xid))
}

/// True if the log holds the event of `mark`, or was dropped exactly up to it.
pub(super) async fn holds_mark(connection: &mut PgConnection, mark: Mark) -> Result<bool> {
    let holds = sqlx::query_file_scalar!("src/platform/event/sql/holds_mark.sql", mark.xid.to_string(), mark.at)
        .fetch_one(connection)
        .await?;
    Ok(holds)
}

/// Drops a log whose transaction numbers this cluster has not reached, and gives the log another name. Returns whether it
/// did.
///
/// Such a log was restored from a dump of another cluster. New events would get lower numbers than it has, and readers
/// would take them for events that they have read.
pub(super) async fn drop_foreign_log(connection: &mut PgConnection) -> Result<bool> {
    if !is_foreign(&mut *connection).await? {
        return Ok(false);
    }
    let mut transaction = connection.begin().await?;
    sqlx::query_file!("src/platform/event/sql/lock_log.sql").execute(&mut *transaction).await?;
    // Of several servers that find the log so, the first one to get the lock drops it, and the others find it new.
    let is_foreign = is_foreign(&mut transaction).await?;
    if is_foreign {
        sqlx::query_file!("src/platform/event/sql/truncate_log.sql").execute(&mut *transaction).await?;
        sqlx::query_file!("src/platform/event/sql/rename_log.sql").execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(is_foreign)
}

async fn is_foreign(connection: &mut PgConnection) -> Result<bool> {
    let is_foreign = sqlx::query_file_scalar!("src/platform/event/sql/is_foreign.sql").fetch_one(connection).await?;
    Ok(is_foreign)
}

/// Keeps retention from dropping partitions until the transaction ends. Must be the first statement of a
/// repeatable-read transaction, since it takes no snapshot: otherwise a partition could go after the snapshot that
/// shows the old floor.
pub async fn hold_log(connection: &mut PgConnection) -> Result<()> {
    sqlx::query_file!("src/platform/event/sql/hold_log.sql").execute(connection).await?;
    Ok(())
}

/// One page of a range.
#[derive(Debug)]
pub enum RangePage {
    /// The next events, in the order (subject type, subject, version).
    Events(Vec<Event>),
    /// The range holds more events than the bound.
    TooLong,
}

/// A row of [`read_range`]: an event, and how many events the range holds.
struct RangeRow {
    company_id: Uuid,
    subject_type: String,
    subject_id: String,
    version: i32,
    event_type: String,
    actor: Option<String>,
    payload: String,
    previous: Option<String>,
    occurred_at: OffsetDateTime,
    xid: i64,
    total: i64,
}

impl From<RangeRow> for EventRow {
    fn from(row: RangeRow) -> Self {
        Self {
            company_id: row.company_id,
            subject_type: row.subject_type,
            subject_id: row.subject_id,
            version: row.version,
            event_type: row.event_type,
            actor: row.actor,
            payload: row.payload,
            previous: row.previous,
            occurred_at: row.occurred_at,
            xid: row.xid,
        }
    }
}

/// The first `limit` events of `range` after `last`. The caller checks in the same transaction that the log still holds
/// the range. With a `bound`, a longer range is [`RangePage::TooLong`]. Without one, a range of a whole company is read in
/// the order of the primary key, past events that are not of the range.
pub async fn read_range(
    connection: &mut PgConnection,
    range: &LogRange,
    last: Option<&EventKey>,
    limit: usize,
    bound: Option<usize>,
) -> Result<RangePage> {
    let (since_seen, since_pending) = parameters(&range.since);
    let (until_seen, until_pending) = parameters(&range.until);
    let last_type = last.map(|last| last.subject_type.as_str());
    let last_id = last.map(|last| last.subject_id.as_str());
    let last_version = last.map(|last| last.version);
    let types = range.subject_types.as_slice();
    let most = bigint(limit);
    let rows = match (&range.scope, bound) {
        (RangeScope::Company, Some(bound)) => {
            sqlx::query_file_as!(
                RangeRow,
                "src/platform/event/sql/read_range.sql",
                range.company_id,
                types as &[&str],
                since_seen,
                &since_pending,
                until_seen,
                &until_pending,
                last_type,
                last_id,
                last_version,
                most,
                bigint(bound),
            )
            .fetch_all(connection)
            .await?
        }
        (RangeScope::Company, None) => {
            sqlx::query_file_as!(
                RangeRow,
                "src/platform/event/sql/read_range_by_key.sql",
                range.company_id,
                types as &[&str],
                since_seen,
                &since_pending,
                until_seen,
                &until_pending,
                last_type,
                last_id,
                last_version,
                most,
            )
            .fetch_all(connection)
            .await?
        }
        (RangeScope::Narrow { subjects, keys }, bound) => {
            let is_far = range.until.seen.saturating_sub(range.since.seen) > NEAR_TRANSACTIONS;
            let (in_types, in_ids): (Vec<&str>, Vec<&str>) = subjects.iter().map(|(kind, id)| (*kind, &**id)).unzip();
            sqlx::query_file_as!(
                RangeRow,
                "src/platform/event/sql/read_narrow_range.sql",
                range.company_id,
                types as &[&str],
                since_seen,
                &since_pending,
                until_seen,
                &until_pending,
                last_type,
                last_id,
                last_version,
                most,
                bigint(bound.unwrap_or(LONGEST_RANGE)),
                &in_types as &[&str],
                &in_ids as &[&str],
                keys,
                is_far,
            )
            .fetch_all(connection)
            .await?
        }
    };
    let is_too_long = |bound: usize| rows.first().is_some_and(|row| row.total > bigint(bound));
    if bound.is_some_and(is_too_long) {
        return Ok(RangePage::TooLong);
    }
    Ok(RangePage::Events(events(rows.into_iter().map(EventRow::from).collect())?))
}

/// At most `limit` events of `subject` after `version`, oldest first, as far as the log still holds them.
pub(super) async fn read_subject(
    connection: &mut PgConnection,
    company_id: Uuid,
    subject: &Subject,
    version: i32,
    limit: usize,
) -> Result<Vec<Event>> {
    let rows = sqlx::query_file_as!(
        EventRow,
        "src/platform/event/sql/read_subject.sql",
        company_id,
        subject.subject_type,
        subject.id,
        version,
        bigint(limit),
    )
    .fetch_all(connection)
    .await?;
    events(rows)
}

/// At most `limit` events about the id, under any of `subject_types`, oldest first, as far as the log still holds them.
pub async fn history(
    connection: &mut PgConnection,
    company_id: Uuid,
    subject_types: &[&str],
    subject_id: &str,
    after: Option<&HistoryPlace>,
    limit: usize,
) -> Result<Vec<Event>> {
    let rows = sqlx::query_file_as!(
        EventRow,
        "src/platform/event/sql/history.sql",
        company_id,
        subject_types as &[&str],
        subject_id,
        after.map(|place| place.occurred_at),
        after.map(|place| place.subject_type.as_str()),
        after.map(|place| place.version),
        bigint(limit),
    )
    .fetch_all(connection)
    .await?;
    events(rows)
}

/// Wakes the readers of other processes; `sender` lets the sending process ignore its own wake-up.
pub(super) async fn notify(connection: &mut PgConnection, channel: &str, sender: &str) -> Result<()> {
    sqlx::query_file!("src/platform/event/sql/notify.sql", channel, sender).execute(connection).await?;
    Ok(())
}

fn bigint(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
