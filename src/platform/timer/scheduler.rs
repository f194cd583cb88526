//! The loop that fires due timers.

use std::{collections::HashMap, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::{HandlerRef, Timer, TimerWaker, handler::Fire, sql};
use crate::platform::{
    error::{Error, Result},
    service::InService,
    unit::UnitOfWork,
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
    work: UnitOfWork,
    waker: TimerWaker,
    handlers: HashMap<(&'static str, &'static str), HandlerRef>,
    in_service: Option<InService>,
}

enum Outcome {
    Fired,
    Failed,
    Needless,
}

impl Scheduler {
    /// A scheduler for the purposes of `handlers`, woken by `waker`.
    pub fn new(work: UnitOfWork, waker: TimerWaker, handlers: Vec<HandlerRef>) -> Self {
        let handlers = handlers.into_iter().map(|handler| (handler.handles(), handler)).collect();
        Self { work, waker, handlers, in_service: None }
    }

    /// Has [`Scheduler::run`] fire only while this server is in service: after an outage, some timers are put off first.
    #[must_use]
    pub fn only_while(mut self, in_service: InService) -> Self {
        self.in_service = Some(in_service);
        self
    }

    /// Looks and fires until `stop`; sleeps until the next due time, at most `poll`.
    pub async fn run(mut self, poll: Duration, stop: CancellationToken) {
        let mut away = false;
        loop {
            if let Some(in_service) = &mut self.in_service
                && stop.run_until_cancelled(in_service.wait()).await.is_none()
            {
                return;
            }
            self.waker.sleeping_until(None);
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
                () = self.waker.0.woken.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Fires what is due. Returns how long nothing will be.
    async fn look(&self, poll: Duration, stop: &CancellationToken) -> Result<Duration> {
        while !stop.is_cancelled() && self.tick().await?.fired > 0 {}
        let mut connection = self.work.pool().acquire().await?;
        let (now, next) = sql::next_due(&mut connection).await?;
        let poll_end = now + poll;
        let until = next.map_or(poll_end, |next| next.min(poll_end));
        self.waker.sleeping_until(Some(until));
        Ok((until - now).try_into().unwrap_or(Duration::ZERO))
    }

    /// One look: fires at most a batch of the timers that are due.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away; the timers stay as they are.
    pub async fn tick(&self) -> Result<Report> {
        let due = sql::due(&mut *self.work.pool().acquire().await?, BATCH).await?;
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
            Ok(0) => (Outcome::Needless, "needless"),
            Ok(_) => (Outcome::Fired, "fired"),
            Err(error) => {
                // Without a connection this fails: that is one incident, reported by the loop, not one for each timer.
                let mut connection = self.work.pool().acquire().await?;
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

    /// The one transaction of a timer. Returns how many fired. Locks: the subject (and its parents), then the timer.
    async fn fire_once(&self, timer: &Timer) -> Result<usize> {
        let handler = self
            .handlers
            .get(&(timer.subject_type.as_str(), timer.purpose.as_str()))
            .ok_or_else(|| Error::internal(format!("no handler for {} of {}", timer.purpose, timer.subject_type)))?;
        self.work.run(&Fire { handler: &**handler, timers: std::slice::from_ref(timer) }).await
    }
}
