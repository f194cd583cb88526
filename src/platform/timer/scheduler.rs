//! The loop that fires due timers.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    ops::AddAssign,
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, future::BoxFuture, stream};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::{
    Group, HandlerRef, Timer, TimerWaker,
    handler::Fire,
    sql::{self, Page},
};
use crate::platform::{
    db::pool::{self, TIMER_CONNECTIONS},
    error::{Code, Error, Result},
    service::InService,
    unit::UnitOfWork,
};

/// Timers of each purpose that are listed at once: several times what a server fires side by side, so that servers which
/// list the same timers find work beside each other.
const PAGE: i64 = 4_000;
/// Most timers of one transaction: as many locks are held until it ends.
const TOGETHER: usize = 128;
/// Transactions side by side.
const AT_ONCE: usize = TIMER_CONNECTIONS as usize;
/// Longest pause between two tries of a failing timer.
const LONGEST_PAUSE: time::Duration = time::Duration::minutes(5);
/// Pause before the scheduler comes back to timers whose subjects were locked; doubled while it finds nothing else to do.
const COME_BACK_LEAST: Duration = Duration::from_millis(20);
const COME_BACK_MOST: Duration = Duration::from_millis(320);

/// What one look did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Timers that had their effect.
    pub fired: usize,
    /// Timers whose effect failed; they are put off.
    pub failed: usize,
    /// Timers that another server has claimed or fired, or that were set again or cleared, between the look and the lock.
    pub needless: usize,
    /// Timers whose subjects were locked. The next look comes back to them.
    pub skipped: usize,
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.fired += other.fired;
        self.failed += other.failed;
        self.needless += other.needless;
        self.skipped += other.skipped;
    }
}

impl Report {
    fn count(self, purpose: &'static str) {
        let outcomes =
            [("fired", self.fired), ("failed", self.failed), ("needless", self.needless), ("skipped", self.skipped)];
        for (outcome, count) in outcomes.into_iter().filter(|(_, count)| *count > 0) {
            metrics::counter!("switchboard_timers_total", "purpose" => purpose, "outcome" => outcome)
                .increment(count as u64);
        }
    }
}

/// Fires due timers.
pub struct Scheduler {
    work: UnitOfWork,
    waker: TimerWaker,
    handlers: HashMap<(&'static str, &'static str), HandlerRef>,
    in_service: Option<InService>,
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
        let mut come_back = COME_BACK_LEAST;
        loop {
            if let Some(in_service) = &mut self.in_service
                && stop.run_until_cancelled(in_service.wait()).await.is_none()
            {
                return;
            }
            self.waker.sleeping_until(None);
            let pause = match self.look(poll, come_back, &stop).await {
                Ok((pause, skipped)) => {
                    away = false;
                    come_back = if skipped { (come_back * 2).min(COME_BACK_MOST) } else { COME_BACK_LEAST };
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

    /// Fires what is due. Returns how long nothing will be, and whether locked subjects were skipped: then the pause is
    /// at most `come_back`.
    async fn look(&self, poll: Duration, come_back: Duration, stop: &CancellationToken) -> Result<(Duration, bool)> {
        loop {
            let (since, report) = self.fire_due().await?;
            self.waker.last_look().note();
            if report.fired > 0 && !stop.is_cancelled() {
                continue;
            }
            let (now, next) = self.next_due(since).await?;
            let skipped = report.skipped > 0;
            let longest = now + if skipped { come_back.min(poll) } else { poll };
            let until = next.map_or(longest, |next| next.min(longest));
            self.waker.sleeping_until(Some(until));
            return Ok(((until - now).try_into().unwrap_or(Duration::ZERO), skipped));
        }
    }

    async fn next_due(&self, since: OffsetDateTime) -> Result<(OffsetDateTime, Option<OffsetDateTime>)> {
        let handled: Vec<(&str, &str)> = self.handlers.keys().copied().collect();
        let pool = self.work.timer_pool();
        let mut connection = pool.acquire().await?;
        pool::within(pool::deadline(pool), sql::next_due(&mut connection, &handled, since)).await
    }

    /// One look: tries every timer that is due.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the database is away; the timers stay as they are.
    pub async fn tick(&self) -> Result<Report> {
        Ok(self.fire_due().await?.1)
    }

    /// Tries every due timer once, page by page. Returns the database's time at which the look began, too.
    async fn fire_due(&self) -> Result<(OffsetDateTime, Report)> {
        let pool = self.work.timer_pool();
        let mut pages: Vec<Page> = self.handlers.keys().copied().map(Page::first).collect();
        let mut began = None;
        let mut report = Report::default();
        loop {
            let (now, due) = {
                let mut connection = pool.acquire().await?;
                pool::within(pool::deadline(pool), sql::due(&mut connection, &pages, PAGE)).await?
            };
            let began = *began.get_or_insert(now);
            pages = pages.iter().filter_map(|page| next_page(page, &due)).collect();
            let fired = stream::iter(self.groups(due))
                .map(|(group, timers)| async move { self.fire(&group, &timers).await })
                .buffer_unordered(AT_ONCE);
            report += fired
                .try_fold(Report::default(), |mut sum, one| async move {
                    sum += one;
                    Ok(sum)
                })
                .await?;
            if pages.is_empty() {
                return Ok((began, report));
            }
            self.waker.last_look().note();
        }
    }

    /// `due` as the timers of one transaction each. They begin at another place on each server, so that servers seldom
    /// meet at the same ones.
    fn groups(&self, due: Vec<Timer>) -> Vec<(Group, Vec<Timer>)> {
        let mut by_group: HashMap<Group, Vec<Timer>> = HashMap::new();
        for timer in due {
            let is_its = |(subject_type, purpose): &&(&str, &str)| {
                *subject_type == timer.subject_type && *purpose == timer.purpose
            };
            let Some(&(subject_type, purpose)) = self.handlers.keys().find(is_its) else { continue };
            let group = Group { company_id: timer.company_id, subject_type, purpose };
            by_group.entry(group).or_default().push(timer);
        }
        let mut groups: Vec<(Group, Vec<Timer>)> = by_group
            .into_iter()
            .flat_map(|(group, timers)| {
                let chunks: Vec<Vec<Timer>> = timers.chunks(TOGETHER).map(<[Timer]>::to_vec).collect();
                chunks.into_iter().map(move |chunk| (group.clone(), chunk))
            })
            .collect();
        if !groups.is_empty() {
            let number = usize::try_from(RandomState::new().hash_one(0) >> 32).unwrap_or_default();
            let places = groups.len();
            groups.rotate_left(number % places);
        }
        groups
    }

    /// Fires `timers`, all of `group`, in one transaction; where that fails, each half of them in one of its own. An error
    /// means that the database is away.
    fn fire<'a>(&'a self, group: &'a Group, timers: &'a [Timer]) -> BoxFuture<'a, Result<Report>> {
        async move {
            let error = match self.fire_together(group, timers).await {
                Ok(report) => {
                    report.count(group.purpose);
                    return Ok(report);
                }
                Err(error) => error,
            };
            if error.code() == Code::Unavailable && !error.is_lock_timeout() {
                return Err(error);
            }
            if timers.len() > 1 {
                let (one, other) = timers.split_at(timers.len() / 2);
                let mut report = self.fire(group, one).await?;
                report += self.fire(group, other).await?;
                return Ok(report);
            }
            let Some(timer) = timers.first() else { return Ok(Report::default()) };
            let report = if error.is_lock_timeout() {
                Report { skipped: 1, ..Report::default() }
            } else {
                self.put_off(timer, &error).await?;
                Report { failed: 1, ..Report::default() }
            };
            report.count(group.purpose);
            Ok(report)
        }
        .boxed()
    }

    /// Locks: the claims on the timers, the subjects (and their parents), the timers' rows; waits for none.
    async fn fire_together(&self, group: &Group, timers: &[Timer]) -> Result<Report> {
        let handler = self.handlers.get(&(group.subject_type, group.purpose));
        let handler = handler.ok_or_else(|| Error::internal(format!("no handler for {group:?}")))?;
        let pool = self.work.timer_pool();
        let time = pool::deadline(pool);
        let mut connection = pool.acquire().await?;
        let fire = Fire { handler: &**handler, timers };
        if let Ok(report) = tokio::time::timeout(time, self.work.run_on(&mut connection, &fire)).await {
            return report;
        }
        pool::close_hard(connection);
        Err(Error::unavailable(format!("timers took longer than {time:?}")))
    }

    /// Delays a timer whose effect failed: by one second, doubled at each failure.
    async fn put_off(&self, timer: &Timer, error: &Error) -> Result<()> {
        let doubled = 1_i64 << timer.attempts.clamp(0, 20);
        let pause = time::Duration::seconds(doubled).min(LONGEST_PAUSE);
        let pool = self.work.timer_pool();
        let mut connection = pool.acquire().await?;
        let put_off = pool::within(pool::deadline(pool), sql::put_off(&mut connection, timer, pause)).await.is_ok();
        let Timer { subject_type, subject_id, purpose, .. } = timer;
        tracing::warn!(subject_type, subject_id, purpose, put_off, error = error.chain(), "timer failed");
        Ok(())
    }
}

/// The page behind a full one; `None` where there is none.
fn next_page(page: &Page, due: &[Timer]) -> Option<Page> {
    let listed = || due.iter().filter(|timer| page.lists(timer));
    let is_full = i64::try_from(listed().count()).is_ok_and(|count| count >= PAGE);
    // In the order of the pages; subjects compare by their bytes there as well.
    listed()
        .max_by_key(|timer| (timer.due_at, timer.company_id, timer.subject_id.clone()))
        .filter(|_| is_full)
        .map(|last| page.behind(last))
}
