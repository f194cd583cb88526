//! Every query on the log's daily partitions.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::platform::error::Result;

/// Attaches missing daily partitions until `days` from today; answers how many.
pub(super) async fn add_days(connection: &mut PgConnection, days: i32) -> Result<i32> {
    let added = sqlx::query_scalar!(
        r#"select add_event_days((switchboard.now() at time zone 'UTC')::date + $1::int) as "added!""#,
        days
    )
    .fetch_one(connection)
    .await?;
    Ok(added)
}

/// A daily partition whose last possible event is older than the retention.
pub(super) struct OldDay {
    /// The partition's table.
    pub(super) name: String,
    /// Still part of the log. False after a crash between detach and drop.
    pub(super) attached: bool,
    /// A detach that a crash interrupted.
    pub(super) detaching: bool,
}

/// The partitions to drop, oldest first.
pub(super) async fn old_days(connection: &mut PgConnection, retention_seconds: f64) -> Result<Vec<OldDay>> {
    let days = sqlx::query_as!(
        OldDay,
        r#"select day.relname::text as "name!", link.inhrelid is not null as "attached!",
               coalesce(link.inhdetachpending, false) as "detaching!"
           from pg_class as day left join pg_inherits as link on link.inhrelid = day.oid
           where day.relnamespace = 'switchboard'::regnamespace and day.relkind = 'r'
               and day.relname ~ '^event_[0-9]{8}$'
               and to_date(right(day.relname, 8), 'YYYYMMDD') + 1
                   <= ((switchboard.now() - make_interval(secs => $1)) at time zone 'UTC')::date
           order by day.relname"#,
        retention_seconds,
    )
    .fetch_all(connection)
    .await?;
    Ok(days)
}

/// Commits that everything up to the greatest transaction of partition `name` will be gone.
pub(super) async fn raise_floor(connection: &mut PgConnection, name: &str) -> Result<()> {
    let mut transaction = connection.begin().await?;
    // A transaction that wrote into that day and is still open would commit events that the floor does not cover:
    // the lock waits for it. Whoever begins now writes into another day.
    let lock = format!("lock table switchboard.{name} in share mode");
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *transaction).await?;
    let raise = format!(
        "update event_floor set xid = newest.xid
         from (select xid from switchboard.{name} order by xid desc limit 1) as newest
         where newest.xid > event_floor.xid"
    );
    sqlx::query(AssertSqlSafe(raise)).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

/// Takes partition `day` out of the log without blocking its readers and writers, then drops it.
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

/// True if this session now is the one that maintains the log's partitions.
pub(super) async fn try_maintain(connection: &mut PgConnection) -> Result<bool> {
    let taken =
        sqlx::query_scalar!(r#"select pg_try_advisory_lock(hashtext('switchboard.event_retention')) as "taken!""#)
            .fetch_one(connection)
            .await?;
    Ok(taken)
}
