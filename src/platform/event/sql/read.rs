//! Rows of the log, and reading many of them piece by piece.

use futures_util::{StreamExt as _, stream::BoxStream};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::platform::{
    error::{Error, Result},
    event::{
        Decoded, Event, Position, RenderCache,
        position::{Mark, Snapshot},
    },
};

/// Most events of one piece.
const PIECE: usize = 1_000;
/// A piece ends with the event that makes it this large, in bytes of records.
const PIECE_BYTES: usize = 1_048_576;

/// A row of the log.
pub(super) struct EventRow {
    pub(super) company_id: Uuid,
    pub(super) subject_type: String,
    pub(super) subject_id: String,
    pub(super) version: i32,
    pub(super) event_type: String,
    pub(super) actor: Option<String>,
    pub(super) payload: String,
    pub(super) previous: Option<String>,
    pub(super) occurred_at: OffsetDateTime,
    pub(super) xid: i64,
}

impl TryFrom<EventRow> for Event {
    type Error = Error;

    fn try_from(row: EventRow) -> Result<Self> {
        Ok(Self {
            company_id: row.company_id,
            subject_type: row.subject_type,
            subject_id: row.subject_id,
            version: row.version,
            event_type: row.event_type,
            actor: row.actor,
            payload: row.payload,
            previous: row.previous,
            occurred_at: row.occurred_at,
            xid: u64::try_from(row.xid).map_err(Error::internal)?,
            record: Decoded::default(),
            before: Decoded::default(),
            fields: std::sync::OnceLock::default(),
            render_cache: RenderCache::default(),
        })
    }
}

/// A row of [`read_after`]: the state of the read, and an event. A read without events has one row of nulls.
struct ReadRow {
    snapshot: String,
    floor: i64,
    company_id: Option<Uuid>,
    subject_type: Option<String>,
    subject_id: Option<String>,
    version: Option<i32>,
    event_type: Option<String>,
    actor: Option<String>,
    payload: Option<String>,
    previous: Option<String>,
    occurred_at: Option<OffsetDateTime>,
    xid: Option<i64>,
}

impl ReadRow {
    fn into_event(self) -> Result<Option<Event>> {
        let Some(xid) = self.xid else { return Ok(None) };
        let missing = || Error::internal("an event row lacks a column that is not null");
        let row = EventRow {
            company_id: self.company_id.ok_or_else(missing)?,
            subject_type: self.subject_type.ok_or_else(missing)?,
            subject_id: self.subject_id.ok_or_else(missing)?,
            version: self.version.ok_or_else(missing)?,
            event_type: self.event_type.ok_or_else(missing)?,
            actor: self.actor,
            payload: self.payload.ok_or_else(missing)?,
            previous: self.previous,
            occurred_at: self.occurred_at.ok_or_else(missing)?,
            xid,
        };
        row.try_into().map(Some)
    }
}

/// A read of the log under way. The rows are taken from the connection as they are asked for, and Postgres waits with the
/// others: one statement, so one snapshot, however many rows there are and however little memory they are given.
pub(in crate::platform::event) struct LogRead<'c> {
    rows: BoxStream<'c, sqlx::Result<ReadRow>>,
    /// Comes with the state of the read.
    first: Option<Event>,
    snapshot: Snapshot,
    /// Greatest transaction that retention has dropped.
    pub(in crate::platform::event) floor: u64,
    newest: Mark,
}

/// Begins to read everything after `position`, in the order (company, subject type, subject, version).
pub(in crate::platform::event) async fn read_after<'c>(
    connection: &'c mut PgConnection,
    position: &Position,
) -> Result<LogRead<'c>> {
    let (seen, pending) = super::parameters(position);
    let mut rows =
        sqlx::query_file_as!(ReadRow, "src/platform/event/sql/read_after.sql", seen, &pending).fetch(connection);
    let first = rows.next().await.ok_or_else(|| Error::internal("a read of the log gave no snapshot or floor"))??;
    let snapshot = first.snapshot.parse()?;
    let floor = u64::try_from(first.floor).map_err(Error::internal)?;
    Ok(LogRead { rows, first: first.into_event()?, snapshot, floor, newest: Mark::default() })
}

impl LogRead<'_> {
    /// The next events, all of them if they are few; empty at the end.
    pub(in crate::platform::event) async fn piece(&mut self) -> Result<Vec<Event>> {
        let mut piece = Vec::from_iter(self.first.take());
        let mut bytes: usize = piece.iter().map(Event::bytes).sum();
        while piece.len() < PIECE && bytes < PIECE_BYTES {
            let Some(row) = self.rows.next().await else { break };
            let Some(event) = row?.into_event()? else { break };
            bytes += event.bytes();
            piece.push(event);
        }
        self.newest = piece.iter().map(Event::mark).fold(self.newest, Mark::max);
        Ok(piece)
    }

    /// The position after the whole read, which began at `before`. To be called after the last piece.
    pub(in crate::platform::event) fn after(&self, before: &Position) -> Position {
        before.advanced([self.newest], &self.snapshot)
    }
}
