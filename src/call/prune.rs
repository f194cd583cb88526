//! Deletes news of names that no call has taken, and those names.
//!
//! A writer locks a name before its news. This task locks news first, so it waits for nobody: rows that somebody has locked
//! are skipped, and found again in the next round.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::sql;
use crate::platform::{
    error::Result,
    task::rounds,
    unit::{Unit, UnitOfWork, Verb},
};

/// News that one transaction deletes at most, so that it holds its locks for milliseconds.
const AT_ONCE: i64 = 500;
/// Pause between two rounds.
const EVERY: Duration = Duration::from_mins(1);

struct Prune {
    retention: Duration,
}

impl Verb for Prune {
    type Outcome = usize;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<usize> {
        let (companies, names) = sql::prune_news(unit.connection(), self.retention, AT_ONCE).await?;
        let found = names.len();
        if !names.is_empty() {
            let (companies, names) = sql::lock_unused_names(unit.connection(), &companies, &names).await?;
            sql::delete_names(unit.connection(), &companies, &names).await?;
            unit.mark_changed();
        }
        Ok(found)
    }
}

/// Deletes old news, in small steps, until `stop`.
pub(super) async fn run(work: UnitOfWork, retention: Duration, stop: CancellationToken) {
    rounds(EVERY, stop, "could not delete old news of unknown calls", || prune(&work, retention)).await;
}

/// Deletes all news that is older than `retention`, each step in a transaction of its own.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn prune(work: &UnitOfWork, retention: Duration) -> Result<()> {
    while work.run(Prune { retention }).await? >= usize::try_from(AT_ONCE).unwrap_or(usize::MAX) {}
    Ok(())
}
