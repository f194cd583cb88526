//! The statements of the scheduler and of tests on the table `timer`, each in a file of its own. A unit of work sets and
//! clears timers itself.

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Group, NewTimer, Timer};
use crate::platform::error::{Error, Result};

/// Sets `timers`. A timer of the same subject and purpose is replaced. The caller holds the locks of the subjects.
pub async fn set(connection: &mut PgConnection, timers: &[NewTimer]) -> Result<()> {
    if timers.is_empty() {
        return Ok(());
    }
    let companies: Vec<Uuid> = timers.iter().map(|timer| timer.company_id).collect();
    let subject_types: Vec<&str> = timers.iter().map(|timer| timer.subject.subject_type).collect();
    let subject_ids: Vec<&str> = timers.iter().map(|timer| timer.subject.id.as_str()).collect();
    let purposes: Vec<&str> = timers.iter().map(|timer| timer.purpose).collect();
    let due: Vec<OffsetDateTime> = timers.iter().map(|timer| timer.due_at).collect();
    let tokens: Vec<Uuid> = timers.iter().map(|_| crate::platform::clock::new_id()).collect();
    sqlx::query_file!(
        "src/platform/timer/sql/set_timers.sql",
        &companies,
        &subject_types as &[&str],
        &subject_ids as &[&str],
        &purposes as &[&str],
        &due,
        &tokens,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Where the look for due timers of one purpose goes on.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) subject_type: &'static str,
    pub(super) purpose: &'static str,
    /// Due time, company and subject of the last timer that was read.
    after: (OffsetDateTime, Uuid, String),
}

impl Page {
    /// The first page of a purpose.
    pub(super) fn first((subject_type, purpose): (&'static str, &'static str)) -> Self {
        Self { subject_type, purpose, after: (OffsetDateTime::UNIX_EPOCH, Uuid::nil(), String::new()) }
    }

    /// The page behind `last`.
    pub(super) fn behind(&self, last: &Timer) -> Self {
        Self { after: (last.due_at, last.company_id, last.subject_id.clone()), ..*self }
    }

    pub(super) fn lists(&self, timer: &Timer) -> bool {
        self.subject_type == timer.subject_type && self.purpose == timer.purpose
    }
}

/// Reads the database's time, and of each of `pages` at most `limit` due timers, the longest due first. Takes no lock.
pub(super) async fn due(
    connection: &mut PgConnection,
    pages: &[Page],
    limit: i64,
) -> Result<(OffsetDateTime, Vec<Timer>)> {
    let subject_types: Vec<&str> = pages.iter().map(|page| page.subject_type).collect();
    let purposes: Vec<&str> = pages.iter().map(|page| page.purpose).collect();
    let due_at: Vec<OffsetDateTime> = pages.iter().map(|page| page.after.0).collect();
    let company_ids: Vec<Uuid> = pages.iter().map(|page| page.after.1).collect();
    let subject_ids: Vec<&str> = pages.iter().map(|page| page.after.2.as_str()).collect();
    let rows = sqlx::query_file!(
        "src/platform/timer/sql/due_timers.sql",
        &subject_types as &[&str],
        &purposes as &[&str],
        &due_at,
        &company_ids,
        &subject_ids as &[&str],
        limit,
    )
    .fetch_all(connection)
    .await?;
    let now = rows.first().map(|row| row.now).ok_or_else(|| Error::internal("a look for timers gave no time"))?;
    let timers = rows.into_iter().filter_map(|row| {
        Some(Timer {
            company_id: row.company_id?,
            subject_type: row.subject_type?,
            subject_id: row.subject_id?,
            purpose: row.purpose?,
            due_at: row.due_at?,
            token: row.token?,
            attempts: row.attempts?,
        })
    });
    Ok((now, timers.collect()))
}

/// Reads the database's time, and when the next timer after `since` is due, of these subject types and purposes.
pub(super) async fn next_due(
    connection: &mut PgConnection,
    handled: &[(&str, &str)],
    since: OffsetDateTime,
) -> Result<(OffsetDateTime, Option<OffsetDateTime>)> {
    let (subject_types, purposes): (Vec<&str>, Vec<&str>) = handled.iter().copied().unzip();
    let row = sqlx::query_file!(
        "src/platform/timer/sql/next_due.sql",
        &subject_types as &[&str],
        &purposes as &[&str],
        since,
    )
    .fetch_one(connection)
    .await?;
    Ok((row.now, row.next))
}

/// The timers at these places, which count from 1.
fn at_places(timers: &[Timer], places: impl IntoIterator<Item = i64>) -> Vec<Timer> {
    let place = |place: i64| usize::try_from(place).ok()?.checked_sub(1);
    places.into_iter().filter_map(|number| timers.get(place(number)?).cloned()).collect()
}

/// Claims `timers`, all of `group`, until the transaction ends; returns those that nobody else has claimed. Never waits.
pub(super) async fn claim(connection: &mut PgConnection, group: &Group, timers: &[Timer]) -> Result<Vec<Timer>> {
    let subject_ids: Vec<&str> = timers.iter().map(|timer| timer.subject_id.as_str()).collect();
    let tokens: Vec<Uuid> = timers.iter().map(|timer| timer.token).collect();
    let places = sqlx::query_file_scalar!(
        "src/platform/timer/sql/claim_timers.sql",
        group.company_id,
        group.subject_type,
        group.purpose,
        &subject_ids as &[&str],
        &tokens,
    )
    .fetch_all(connection)
    .await?;
    Ok(at_places(timers, places))
}

/// Deletes those of `timers`, all of `group`, that are still as they were seen and are due; returns them. The caller
/// holds the locks of the subjects.
pub(super) async fn take(connection: &mut PgConnection, group: &Group, timers: &[Timer]) -> Result<Vec<Timer>> {
    let subject_ids: Vec<&str> = timers.iter().map(|timer| timer.subject_id.as_str()).collect();
    let tokens: Vec<Uuid> = timers.iter().map(|timer| timer.token).collect();
    let places = sqlx::query_file_scalar!(
        "src/platform/timer/sql/take_timers.sql",
        group.company_id,
        group.subject_type,
        group.purpose,
        &subject_ids as &[&str],
        &tokens,
    )
    .fetch_all(connection)
    .await?;
    Ok(at_places(timers, places))
}

/// Delays a failed timer by `pause`, from the database's present time.
pub(super) async fn put_off(connection: &mut PgConnection, timer: &Timer, pause: Duration) -> Result<()> {
    sqlx::query_file!(
        "src/platform/timer/sql/put_off_timer.sql",
        timer.company_id,
        timer.subject_type,
        timer.subject_id,
        timer.purpose,
        timer.token,
        pause.as_seconds_f64(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
