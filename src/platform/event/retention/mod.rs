//! Retention: attaches the log's next daily partitions in time, and drops those that are older than the retention.
//!
//! ```text
//! each hour, on every server: attach the days up to 3 ahead
//!            on one server:   for each day past the retention: raise the floor, commit ──► detach concurrently ──► drop
//! ```
//!
//! Neither blocks writers: a new day is built as a table of its own and then attached, an old one is detached
//! concurrently and then dropped. The floor, which is the greatest transaction ever dropped, is committed first. So a
//! resume whose cursor lies below the floor gets a resync, and never takes dropped events for none.
//!
//! The first look comes before the server listens: after days without a server no partition takes today's events, and
//! the first requests would fail. Servers that look at the same moment take turns.
//!
//! A session lock lets one server at a time drop days. A crash frees the lock, and the next round finishes the work: a
//! day may be half detached, or detached and not dropped. Each step has a deadline, after which the connection is closed
//! and the round fails. If no round succeeds for three days, appends fail for want of a partition; each failure is
//! logged.

mod sql;

use std::{future::Future, time::Duration};

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::platform::error::{Error, Result};

/// Days that are attached ahead of today. Appends go on for so long while no round succeeds.
const DAYS_AHEAD: i32 = 3;
/// Pause between two rounds; a sixtieth of it after a failure.
const EVERY: Duration = Duration::from_hours(1);
/// Pause after a failure while no look has succeeded yet, because the server waits for it.
const EAGER: Duration = Duration::from_millis(250);
/// Longest wait of a round's statements for a lock, and their longest time, in milliseconds. A detach waits for those who
/// read the log as it was.
const SESSION: [(&str, &str); 2] = [("lock_timeout", "2000"), ("statement_timeout", "30000")];
/// Deadline of each step, a little above the longest time of a statement: on a half-open connection nothing ever arrives.
const STEP: Duration = Duration::from_secs(35);

/// The work of one round.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Number of days attached.
    pub added: usize,
    /// Number of days dropped.
    pub dropped: usize,
}

/// Runs a round every hour until `stop`. `ready` becomes true when the first one has attached the days.
pub async fn run(options: PgConnectOptions, retention: Duration, ready: watch::Sender<bool>, stop: CancellationToken) {
    loop {
        let round = tokio::select! {
            () = stop.cancelled() => return,
            round = round(&options, retention, || { ready.send_replace(true); }) => round,
        };
        let pause = match round {
            Ok(report) => {
                tracing::debug!(?report, "event log partitions");
                EVERY
            }
            Err(error) => {
                tracing::warn!(error = error.chain(), "could not maintain the event log's partitions; will retry");
                if *ready.borrow() { EVERY / 60 } else { EAGER }
            }
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Runs one round: attaches, then drops unless another server does.
pub async fn tick(options: &PgConnectOptions, retention: Duration) -> Result<Report> {
    round(options, retention, || {}).await
}

async fn round(options: &PgConnectOptions, retention: Duration, attached: impl FnOnce()) -> Result<Report> {
    // A connection of its own, because the lock belongs to the session and ends with it, whatever fails.
    let options = options.clone().options(SESSION);
    let mut connection = step(async { Ok(options.connect().await?) }).await?;
    let added = attach_days(&mut connection).await?;
    attached();
    let mut dropped = 0;
    if step(sql::try_maintain(&mut connection)).await? {
        for day in step(sql::old_days(&mut connection, retention.as_secs_f64())).await? {
            step(sql::raise_floor(&mut connection, &day.name)).await?;
            step(sql::drop_day(&mut connection, &day)).await?;
            dropped += 1;
        }
    }
    Ok(Report { added, dropped })
}

/// Attaches the missing days up to three ahead; returns their number. For whoever is about to write events.
pub async fn attach_days(connection: &mut PgConnection) -> Result<usize> {
    Ok(usize::try_from(step(sql::add_days(connection, DAYS_AHEAD)).await?).unwrap_or(0))
}

/// One step of a round. If it is late, the round ends and its connection is closed.
async fn step<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(STEP, work).await.unwrap_or_else(|late| Err(Error::unavailable(late)))
}
