//! Every query on the log's daily partitions. A statement that names a partition cannot be checked at compile time,
//! since tables are no parameters; its name comes from the catalog and matches `event_` and eight digits.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::platform::error::Result;

/// Attaches the daily partitions that are missing up to `days` from today; returns their number.
pub(super) async fn add_days(connection: &mut PgConnection, days: i32) -> Result<i32> {
    let added =
        sqlx::query_file_scalar!("src/platform/event/retention/sql/add_days.sql", days).fetch_one(connection).await?;
    Ok(added)
}

/// A daily partition whose last possible event is older than the retention.
pub(super) struct OldDay {
    /// The partition's table, `event_YYYYMMDD`.
    pub(super) name: String,
    /// Still part of the log; false after a crash between detach and drop.
    pub(super) attached: bool,
    /// Half detached; true after a crash during the detach.
    pub(super) detaching: bool,
}

/// The partitions that are older than the retention, oldest first.
pub(super) async fn old_days(connection: &mut PgConnection, retention_seconds: f64) -> Result<Vec<OldDay>> {
    let days = sqlx::query_file_as!(OldDay, "src/platform/event/retention/sql/old_days.sql", retention_seconds)
        .fetch_all(connection)
        .await?;
    Ok(days)
}

/// Raises the floor to the greatest transaction of partition `name` and its newest event, and commits.
///
/// Must come before the partition is dropped: a resume below the floor then resyncs, and never takes dropped events for
/// none.
pub(super) async fn raise_floor(connection: &mut PgConnection, name: &str) -> Result<()> {
    let mut transaction = connection.begin().await?;
    // Waits for the transactions that have written into this day: their events must be covered by the floor.
    // Transactions that begin now write into a later day.
    let lock = format!("lock table switchboard.{name} in share mode");
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *transaction).await?;
    let raise = format!(
        "update event_log set floor = newest.xid, floor_at = newest.occurred_at
         from (
             select xid, occurred_at from switchboard.{name} order by xid desc, occurred_at desc limit 1
         ) as newest
         where newest.xid > event_log.floor or newest.xid = event_log.floor and newest.occurred_at > event_log.floor_at"
    );
    sqlx::query(AssertSqlSafe(raise)).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// Detaches partition `day` without blocking readers and writers of the log, then drops it. Finishes a detach that was
/// interrupted.
pub(super) async fn drop_day(connection: &mut PgConnection, day: &OldDay) -> Result<()> {
    let name = &day.name;
    if day.attached {
        let how = if day.detaching { "finalize" } else { "concurrently" };
        let detach = format!("alter table switchboard.event detach partition switchboard.{name} {how}");
        sqlx::query(AssertSqlSafe(detach)).execute(&mut *connection).await?;
    }
    sqlx::query(AssertSqlSafe(format!("drop table switchboard.{name}"))).execute(connection).await?;
    Ok(())
}

/// True if this session is now the only one that maintains the log's partitions.
pub(super) async fn try_maintain(connection: &mut PgConnection) -> Result<bool> {
    let taken =
        sqlx::query_file_scalar!("src/platform/event/retention/sql/try_maintain.sql").fetch_one(connection).await?;
    Ok(taken)
}
