//! Samples: once a minute what waits and runs, and what was dispatched in between, for operators' charts.
//!
//! Every server looks for minutes that have no sample. Whichever inserts the company's row takes those of its users in the
//! same transaction; the others find the row. Violations of priority are counted then too, from what is written about the
//! minute's dispatches and not by the code that decides them. Samples are kept for a day.
//!
//! The gauges of `/metrics` come from here as well: no label names a user or a company.

pub(super) mod sql;

use std::time::Duration;

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{CallQueue, reads::SampleList};
use crate::platform::{
    auth::Principal,
    batch::Reading,
    error::Result,
    task::rounds,
    unit::{Unit, UnitOfWork, Verb},
};

/// Pause between two looks for minutes without samples.
const EVERY: Duration = Duration::from_secs(10);
/// Most companies of one look.
const MOST_COMPANIES: i64 = 1_000;
/// Samples that one transaction deletes at most, so that it holds its locks for milliseconds.
const AT_ONCE: u32 = 1_000;

/// What waited and ran at the end of a minute, and what was dispatched in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The end of the minute.
    pub at: OffsetDateTime,
    /// Direct items that waited.
    pub direct: i32,
    /// Campaigns' items that waited.
    pub campaign: i32,
    /// Slots in use.
    pub active: i32,
    /// Calls that got a slot, inbound ones apart.
    pub dispatched: i32,
    /// Half of them had waited for at most so many seconds; `None`: there was none.
    pub wait_p50: Option<i32>,
    /// Nine of ten had waited for at most so many seconds.
    pub wait_p90: Option<i32>,
}

/// What waits and runs in the queues of all companies.
#[derive(Debug)]
struct Load {
    direct: i64,
    campaign: i64,
    active: i64,
    slots: i64,
}

impl Load {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn publish(&self) {
        let depth =
            |label, count: i64| metrics::gauge!("switchboard_call_queue_depth", "type" => label).set(count as f64);
        depth("direct", self.direct);
        depth("campaign", self.campaign);
        metrics::gauge!("switchboard_call_slots_in_use").set(self.active as f64);
        metrics::gauge!("switchboard_call_slots_limit").set(self.slots as f64);
        // So that a rate is known before the first one.
        metrics::counter!("switchboard_call_queue_priority_violations_total").increment(0);
    }
}

struct Take {
    company_id: Uuid,
    at: OffsetDateTime,
}

impl Verb for Take {
    type Outcome = ();

    async fn run(&self, unit: &mut Unit<'_>) -> Result<()> {
        let Some(violations) = sql::take(unit.connection(), self.company_id, self.at).await? else { return Ok(()) };
        unit.mark_changed();
        for _ in 0..violations {
            unit.changes().count("switchboard_call_queue_priority_violations_total", &[]);
        }
        Ok(())
    }
}

struct Prune;

impl Verb for Prune {
    type Outcome = u64;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<u64> {
        let pruned = sql::prune(unit.connection(), AT_ONCE.into()).await?;
        if pruned > 0 {
            unit.mark_changed();
        }
        Ok(pruned)
    }
}

/// Takes samples until `stop`.
pub(super) async fn run(work: UnitOfWork, stop: CancellationToken) {
    rounds(EVERY, stop, "could not take samples of call queues", || sample(&work)).await;
}

/// Takes the samples of the last whole minute that no server has taken, deletes those that are older than a day, and
/// publishes the gauges.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn sample(work: &UnitOfWork) -> Result<()> {
    let due = work.on_scheduler(async |connection| sql::due_companies(connection, MOST_COMPANIES).await).await?;
    for (company_id, at) in due {
        work.run(Take { company_id, at }).await?;
    }
    while work.run(Prune).await? >= AT_ONCE.into() {}
    work.on_scheduler(async |connection| sql::load(connection).await).await?.publish();
    Ok(())
}

impl CallQueue {
    /// Samples of a user, or of the company, of the last minutes, oldest first. Minutes in which nothing waited, ran or was
    /// dispatched have none.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    pub async fn samples(
        &self,
        reading: &Reading,
        principal: &Principal,
        user_id: Option<String>,
        minutes: i32,
    ) -> Result<Vec<Sample>> {
        principal.require_company()?;
        self.reads.samples(reading, SampleList { company_id: principal.company_id, user_id, minutes }).await
    }
}
