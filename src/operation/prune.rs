//! Deletes what lines need not remember any more: finished requests, and lines that nobody has used for a day.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::sql;
use crate::platform::{
    error::Result,
    task::rounds,
    unit::{Unit, UnitOfWork, Verb},
};

/// Rows that one statement deletes at most, so that it holds its locks for milliseconds.
const AT_ONCE: i64 = 500;
/// Pause between two rounds.
const EVERY: Duration = Duration::from_mins(1);

struct Prune;

impl Verb for Prune {
    type Outcome = u64;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<u64> {
        let requests = sql::prune_requests(unit.connection(), AT_ONCE).await?;
        let lines = sql::prune_lines(unit.connection(), AT_ONCE).await?;
        unit.mark_changed();
        Ok(requests.max(lines))
    }
}

/// Deletes old rows, in small steps, until `stop`.
pub(super) async fn run(work: UnitOfWork, stop: CancellationToken) {
    rounds(EVERY, stop, "could not delete finished operations", || prune(&work)).await;
}

/// Deletes all old rows, each step in a transaction of its own.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn prune(work: &UnitOfWork) -> Result<()> {
    while work.run(Prune).await? >= AT_ONCE.unsigned_abs() {}
    Ok(())
}
