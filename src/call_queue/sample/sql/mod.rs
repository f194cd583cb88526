//! Statements on samples, each in a file of its own.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Load, Sample};
use crate::platform::error::Result;

/// Companies of which a sample is to be taken, with the minute's end. Takes no lock.
pub(super) async fn due_companies(connection: &mut PgConnection, most: i64) -> Result<Vec<(Uuid, OffsetDateTime)>> {
    let due = sqlx::query_file!("src/call_queue/sample/sql/due_companies.sql", most);
    Ok(due.fetch_all(connection).await?.into_iter().map(|row| (row.company_id, row.at)).collect())
}

/// Writes a company's samples of a minute, and returns how many violations of priority it found; `None`: they are written.
pub(super) async fn take(connection: &mut PgConnection, company_id: Uuid, at: OffsetDateTime) -> Result<Option<i32>> {
    let taken = sqlx::query_file!("src/call_queue/sample/sql/take_sample.sql", company_id, at);
    let taken = taken.fetch_one(connection).await?;
    Ok(taken.is_taken.then_some(taken.violations))
}

/// Samples of a user, or of the company, of the last minutes, oldest first. Takes no lock.
pub(in crate::call_queue) async fn list(
    connection: &mut PgConnection,
    company_id: Uuid,
    user_id: Option<&str>,
    minutes: i32,
) -> Result<Vec<Sample>> {
    let user_id = user_id.unwrap_or_default();
    let found =
        sqlx::query_file_as!(Sample, "src/call_queue/sample/sql/list_samples.sql", company_id, user_id, minutes);
    Ok(found.fetch_all(connection).await?)
}

/// Deletes old samples, at most `most`; returns how many.
pub(super) async fn prune(connection: &mut PgConnection, most: i64) -> Result<u64> {
    let pruned = sqlx::query_file!("src/call_queue/sample/sql/prune_samples.sql", most);
    Ok(pruned.execute(connection).await?.rows_affected())
}

/// What waits and runs in all queues. Takes no lock.
pub(super) async fn load(connection: &mut PgConnection) -> Result<Load> {
    Ok(sqlx::query_file_as!(Load, "src/call_queue/sample/sql/load.sql").fetch_one(connection).await?)
}
