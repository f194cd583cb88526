//! The loop that fires due timers.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::{Alarm, Handler, Timer, sql};
use crate::platform::{
    error::{Error, Result},
    event::LogNotifier,
};

/// Timers taken at one look.
const BATCH: i64 = 200;
/// Timers fired side by side; each holds one connection of the requests' pool.
const AT_ONCE: usize = 4;
/// Longest pause between two tries of a failing timer.
const LONGEST_PAUSE: time::Duration = time::Duration::minutes(5);

/// What one look did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Timers that had their effect.
    pub fired: usize,
    /// Timers whose effect failed; they are put off.
    pub failed: usize,
    /// Timers that another server fired, or that were set again or cleared, between the look and the lock.
    pub needless: usize,
}

/// Fires due timers.
pub struct Scheduler {
    pool: PgPool,
    bell: LogNotifier,
    alarm: Alarm,
    handlers: HashMap<(&'static str, &'static str), Arc<dyn Handler>>,
}

enum Outcome {
    Fired,
    Failed,
    Needless,
}

impl Scheduler {
    /// A scheduler for the purposes that `handlers` handle.
    pub fn new(pool: PgPool, bell: LogNotifier, alarm: Alarm, handlers: Vec<Arc<dyn Handler>>) -> Self {
        let handlers = handlers.into_iter().map(|handler| (handler.handles(), handler)).collect();
        Self { pool, bell, alarm, handlers }
    }

    /// Looks and fires until `stop`; sleeps until the next due time, at most `poll`.
    pub async fn run(self, poll: Duration, stop: CancellationToken) {
        let mut away = false;
        loop {
            self.alarm.sleeping_until(None);
            let pause = match self.look(poll, &stop).await {
                Ok(pause) => {
                    away = false;
                    pause
                }
                Err(error) => {
                    if !std::mem::replace(&mut away, true) {
                        tracing::warn!(error = error.chain(), "timers cannot be read; will try again");
                    }
                    poll
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.alarm.0.woken.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Fires what is due; answers how long nothing will be.
    async fn look(&self, poll: Duration, stop: &CancellationToken) -> Result<Duration> {
        while !stop.is_cancelled() && self.tick().await?.fired > 0 {}
        let mut connection = self.pool.acquire().await?;
        let (now, next) = sql::next_due(&mut connection).await?;
        let poll_end = now + poll;
        let until = next.map_or(poll_end, |next| next.min(poll_end));
        self.alarm.sleeping_until(Some(until));
        Ok((until - now).try_into().unwrap_or(Duration::ZERO))
    }

    /// One look: fires at most a batch of the timers that are due.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away; the timers stay as they are.
    pub async fn tick(&self) -> Result<Report> {
        let due = sql::due(&mut *self.pool.acquire().await?, BATCH).await?;
        let outcomes = stream::iter(due).map(|timer| self.fire(timer)).buffer_unordered(AT_ONCE);
        outcomes
            .try_fold(Report::default(), |mut report, outcome| async move {
                match outcome {
                    Outcome::Fired => report.fired += 1,
                    Outcome::Failed => report.failed += 1,
                    Outcome::Needless => report.needless += 1,
                }
                Ok(report)
            })
            .await
    }

    /// Fires one timer, or puts it off. An error means that neither could be done.
    async fn fire(&self, timer: Timer) -> Result<Outcome> {
        let (outcome, label) = match self.fire_once(&timer).await {
            Ok(Outcome::Fired) => {
                self.bell.notify();
                (Outcome::Fired, "fired")
            }
            Ok(other) => (other, "needless"),
            Err(error) => {
                // No connection to be had: that is one incident, reported by the loop, not one for each timer.
                let mut connection = self.pool.acquire().await?;
                let put_off = sql::put_off(&mut connection, &timer, LONGEST_PAUSE).await.is_ok();
                let Timer { subject_type, subject_id, purpose, .. } = &timer;
                tracing::warn!(subject_type, subject_id, purpose, put_off, error = error.chain(), "timer failed");
                (Outcome::Failed, "failed")
            }
        };
        metrics::counter!("switchboard_timers_total", "purpose" => timer.purpose.clone(), "outcome" => label)
            .increment(1);
        Ok(outcome)
    }

    /// The one transaction of a timer. Locks: the subject (and its parents), then the timer.
    async fn fire_once(&self, timer: &Timer) -> Result<Outcome> {
        let handler = self
            .handlers
            .get(&(timer.subject_type.as_str(), timer.purpose.as_str()))
            .ok_or_else(|| Error::internal(format!("no handler for {} of {}", timer.purpose, timer.subject_type)))?;
        let mut transaction = self.pool.begin().await?;
        handler.lock(&mut transaction, timer).await?;
        if !sql::lock_due(&mut transaction, timer).await? {
            return Ok(Outcome::Needless);
        }
        sql::delete(&mut transaction, timer).await?;
        handler.fire(&mut transaction, timer).await?;
        transaction.commit().await?;
        Ok(Outcome::Fired)
    }
}
