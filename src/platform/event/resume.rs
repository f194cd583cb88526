//! Reads what a stream has missed since its cursor, or finds that the log does not hold all of it.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Event, Position, Subject,
    sql::{self, read_range},
};
use crate::platform::error::Result;

/// What a resume found.
#[derive(Debug)]
pub enum Resumed {
    /// Every event since the cursor that may concern the stream, in order.
    Events(Vec<Event>),
    /// The log does not reach back to the cursor, or holds too many events since: send the present state again.
    Gap,
}

/// The part of the log that one stream may be concerned by: events that `until` contains and `since` does not.
#[derive(Debug)]
pub struct LogRange {
    /// Only events of this company.
    pub company_id: Uuid,
    /// Only subjects of these types.
    pub subject_types: Vec<&'static str>,
    /// Only this subject; `None` for all.
    pub subject_id: Option<String>,
    /// Events that this position contains are left out: the client has them.
    pub since: Position,
    /// Only events that this position contains.
    pub until: Position,
}

/// Every event of `range`, unless there are more than `limit`. Must run in the transaction that read `range.until` and
/// `floor`.
pub async fn resume(connection: &mut PgConnection, range: &LogRange, floor: u64, limit: usize) -> Result<Resumed> {
    if !range.since.is_held(&range.until, floor) {
        return Ok(Resumed::Gap);
    }
    let events = read_range(connection, range, None, limit.saturating_add(1)).await?;
    Ok(if events.len() > limit { Resumed::Gap } else { Resumed::Events(events) })
}

/// The events of one subject after `version`, unless there are more than `limit`. A gap if the log does not hold each
/// version from the next one on, once. No events may also mean that all were dropped, so the caller compares with the
/// subject's version.
pub async fn resume_subject(
    connection: &mut PgConnection,
    company_id: Uuid,
    subject: &Subject,
    version: i32,
    limit: usize,
) -> Result<Resumed> {
    let events = sql::read_subject(connection, company_id, subject, version, limit + 1).await?;
    let is_contiguous = (version + 1..).zip(&events).all(|(next, event)| event.version == next);
    Ok(if is_contiguous && events.len() <= limit { Resumed::Events(events) } else { Resumed::Gap })
}
