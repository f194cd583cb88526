//! The statements of the scheduler and of tests on the table `timer`. A unit of work sets and clears timers itself.

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{NewTimer, Timer};
use crate::platform::error::Result;

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
    sqlx::query!(
        "insert into timer (company_id, subject_type, subject_id, purpose, due_at, token)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::uuid[])
         on conflict (company_id, subject_type, subject_id, purpose)
             do update set due_at = excluded.due_at, token = excluded.token, attempts = 0",
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

/// Reads at most `limit` due timers, the longest due first. Takes no lock.
pub(super) async fn due(connection: &mut PgConnection, limit: i64) -> Result<Vec<Timer>> {
    // The clock as a sub-select: a volatile function in the condition itself would keep the index from being used.
    let timers = sqlx::query_as!(
        Timer,
        "select company_id, subject_type, subject_id, purpose, token from timer
         where due_at <= (select switchboard.now())
         order by due_at
         limit $1",
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(timers)
}

/// Reads the database's time, and when the next timer is due.
pub(super) async fn next_due(connection: &mut PgConnection) -> Result<(OffsetDateTime, Option<OffsetDateTime>)> {
    let row = sqlx::query!(
        r#"select switchboard.now() as "now!",
               (select due_at from timer order by due_at limit 1) as next"#
    )
    .fetch_one(connection)
    .await?;
    Ok((row.now, row.next))
}

/// Locks the timer's row. True if the row is still the one that was read and it is due. The caller holds the subject's
/// lock.
pub(super) async fn lock_due(connection: &mut PgConnection, timer: &Timer) -> Result<bool> {
    let due = sqlx::query_scalar!(
        r#"select token = $5 and due_at <= switchboard.now() as "due!" from timer
           where company_id = $1 and subject_type = $2 and subject_id = $3 and purpose = $4
           for update"#,
        timer.company_id,
        timer.subject_type,
        timer.subject_id,
        timer.purpose,
        timer.token,
    )
    .fetch_optional(connection)
    .await?;
    Ok(due.unwrap_or(false))
}

/// Deletes the timer that fired. A timer that its effect has set in its place stays.
pub(super) async fn delete(connection: &mut PgConnection, timer: &Timer) -> Result<()> {
    sqlx::query!(
        "delete from timer
         where company_id = $1 and subject_type = $2 and subject_id = $3 and purpose = $4 and token = $5",
        timer.company_id,
        timer.subject_type,
        timer.subject_id,
        timer.purpose,
        timer.token,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Delays a failed timer: by one second, doubled at each failure, at most `most`.
pub(super) async fn put_off(connection: &mut PgConnection, timer: &Timer, most: Duration) -> Result<()> {
    sqlx::query!(
        "update timer
         set attempts = attempts + 1,
             due_at = switchboard.now() + make_interval(secs => least(2 ^ least(attempts, 20), $6))
         where company_id = $1 and subject_type = $2 and subject_id = $3 and purpose = $4 and token = $5",
        timer.company_id,
        timer.subject_type,
        timer.subject_id,
        timer.purpose,
        timer.token,
        most.as_seconds_f64(),
    )
    .execute(connection)
    .await?;
    Ok(())
}
