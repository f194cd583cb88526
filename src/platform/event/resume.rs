//! Reads what a stream of one subject has missed since its cursor, or finds that the log does not hold all of it; and the
//! part of the log that any other stream reads.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Event, Position, RangeScope, Subject, sql};
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
    /// Only these of them.
    pub scope: RangeScope,
    /// Events that this position contains are left out: the client has them.
    pub since: Position,
    /// Only events that this position contains.
    pub until: Position,
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
