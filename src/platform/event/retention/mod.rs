//! Retention: attaches the log's next daily partitions in time, and drops those that are older than the retention.
//!
//! ```text
//! each hour, on one server: attach the days up to 3 ahead
//!                           for each day past the retention: raise the floor, commit ──► detach concurrently ──► drop
//! ```
//!
//! Neither blocks writers: a new day is built as a table of its own and then attached, an old one is detached
//! concurrently and then dropped. The floor, which is the greatest transaction ever dropped, is committed first. So a
//! resume whose cursor lies below the floor gets a resync, and never takes dropped events for none.
//!
//! A session lock lets one server at a time do this. A crash frees the lock, and the next round finishes the work: a
//! day may be half detached, or detached and not dropped. If no round succeeds for three days, appends fail for want of
//! a partition; each failure is logged.

mod sql;

use std::time::Duration;

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};
use tokio_util::sync::CancellationToken;

use crate::platform::error::Result;

/// Days that are attached ahead of today. Appends go on for so long while no round succeeds.
const DAYS_AHEAD: i32 = 3;
/// Pause between two rounds; a sixtieth of it after a failure.
const EVERY: Duration = Duration::from_hours(1);

/// The work of one round.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Number of days attached.
    pub added: usize,
    /// Number of days dropped.
    pub dropped: usize,
}

/// Runs a round every hour until `stop`.
pub async fn run(options: PgConnectOptions, retention: Duration, stop: CancellationToken) {
    loop {
        let pause = match tick(&options, retention).await {
            Ok(report) => {
                tracing::debug!(?report, "event log partitions");
                EVERY
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), "could not maintain the event log's partitions; will retry");
                EVERY / 60
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Runs one round: attaches, then drops. Does nothing while another server runs one.
pub async fn tick(options: &PgConnectOptions, retention: Duration) -> Result<Report> {
    // A connection of its own, because the lock belongs to the session and ends with it, whatever fails.
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
