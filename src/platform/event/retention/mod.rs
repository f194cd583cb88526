//! Keeps the log's daily partitions: attaches the next days in time, drops those past the retention.
//!
//! Neither may stand in the way of writers: days are built alone and attached, detached concurrently and then
//! dropped. The floor (how far the log has been dropped) is committed first, so that a resume whose cursor lies
//! below it gets an honest resync. One server at a time does this; a crash anywhere is finished by the next.

mod sql;

use std::time::Duration;

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use tokio_util::sync::CancellationToken;

use crate::platform::error::Result;

/// Days attached ahead of today: as many days as the servers may be unable to do this without a write failing.
const DAYS_AHEAD: i32 = 3;
const EVERY: Duration = Duration::from_hours(1);

/// What one round did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Days attached.
    pub added: usize,
    /// Days dropped.
    pub dropped: usize,
}

/// Does a round every hour until `stop`.
pub async fn run(options: PgConnectOptions, retention: Duration, stop: CancellationToken) {
    loop {
        let pause = match tick(&options, retention).await {
            Ok(report) => {
                tracing::debug!(?report, "event log partitions");
                EVERY
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), "event log partitions could not be maintained; will try again");
                EVERY / 60
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One round: attach, then drop. Does nothing while another server does it.
pub async fn tick(options: &PgConnectOptions, retention: Duration) -> Result<Report> {
    // A connection of its own: the lock is the session's, and dropping the session frees it whatever happens.
    let mut connection = options.clone().options([("lock_timeout", "2000")]).connect().await?;
    if !sql::try_maintain(&mut connection).await? {
        return Ok(Report::default());
    }
    let added = usize::try_from(sql::add_days(&mut connection, DAYS_AHEAD).await?).unwrap_or(0);
    let days = sql::old_days(&mut connection, retention.as_secs_f64()).await?;
    for day in &days {
        sql::raise_floor(&mut connection, &day.name).await?;
        sql::drop_day(&mut connection, day).await?;
    }
    Ok(Report { added, dropped: days.len() })
}
