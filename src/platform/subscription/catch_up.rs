//! Reads the log for a subscription, however much was written since: one that resumes, or one whose queue overflowed.
//!
//! ```text
//! sent to the client ────┐ since                                until ┌── queue: what commits later
//!                        │ page │ page │ …, by (subject, version)     │
//! ```
//!
//! The first page fixes the range: every event that the log's end of that moment, `until`, contains, and what was sent,
//! `since`, does not. Both are positions of one snapshot each, so the range holds consecutive versions of each subject.
//! The pages are sorted by (subject, version), and each is read in a transaction of its own: nothing is held while the
//! client is slow, and memory holds one page.
//!
//! A page reads the events of the stream's scope only: those of one visitor, agent or contract are found by the log's index
//! over scope keys. For a stream of a whole company each page sorts the range while that is short; a long one is read in
//! the order of the primary key.
//!
//! The queue accepts events again since before the first page was read, and is read after the last one. An event that
//! `until` does not contain is there; or the queue overflowed again, and the next catch-up reads it. An event that
//! `until` contains is left out.
//!
//! The order of pages is not that of commits, so no position describes a client that drops in between. All messages but
//! the last carry `since`, and a resume repeats at most what this catch-up has sent.
//!
//! Retention may drop events of the range before they are read. Each page checks in its own transaction that the log
//! reaches back far enough; if not, the stream sends the present state, marked as a resync. So does a resume whose range
//! holds more events than the replay limit.

use std::sync::Arc;

use sqlx::PgConnection;
use tokio::time::timeout;

use super::{
    Change, Feed,
    driver::{Batch, Driver, Next, consistent_read, readable},
};
use crate::platform::{
    error::Result,
    event::{self, Event, EventKey, Position, RangePage, RangeScope},
};

/// Most events of one page. A larger page costs more memory for each slow client; a smaller one reads the range's index
/// more often.
const PAGE: usize = 1_000;

/// Longest range of a whole company that is sorted for each of its pages. To sort it takes some 20 ms.
const SORTED_MOST: usize = 20_000;

/// How far a subscription has caught up.
#[derive(Debug)]
pub(super) struct CatchUp<R> {
    /// The position up to which events were sent before.
    since: Position,
    /// The end of the range; set by the first page.
    until: Option<Position>,
    /// The last event read; the next page begins after it.
    last: Option<EventKey>,
    /// The newest change, not sent yet. It is the last one of the catch-up if no later event concerns this client, and
    /// then its cursor differs.
    held: Option<Change<R>>,
    /// The range is too long to be sorted for each page.
    is_long: bool,
    /// For a resume, which ends with READY: the version of the one subject, if the stream is of one.
    resumes_at: Option<i32>,
}

impl<R> CatchUp<R> {
    /// A catch-up of a client that has received all of `since`.
    pub(super) fn since(since: Position) -> Self {
        Self { since, until: None, last: None, held: None, is_long: false, resumes_at: None }
    }

    /// The same for a client that resumes. `present` is the version of the one subject of the stream, if it is of one.
    pub(super) fn resuming(since: Position, present: i32) -> Self {
        Self { resumes_at: Some(present), ..Self::since(since) }
    }
}

impl<F: Feed> Driver<F> {
    /// Reads the next page.
    pub(super) async fn page(&self, so_far: &CatchUp<F::Record>) -> Result<Batch<F::Record>> {
        let mut reading = self.sources.gate.enter(&self.sources.pool).await?;
        let read = async {
            let mut transaction = consistent_read(&mut reading.connection).await?;
            let (now, floor) = event::position_now(&mut transaction).await?;
            let batch = self.page_at(&mut transaction, so_far, now, floor).await?;
            transaction.commit().await?;
            Ok(batch)
        };
        let outcome = timeout(reading.deadline, read).await;
        reading.finish(outcome)
    }

    /// Reads the next page in the transaction that read the log's end, `now`, and its `floor`.
    pub(super) async fn page_at(
        &self,
        connection: &mut PgConnection,
        so_far: &CatchUp<F::Record>,
        now: Position,
        floor: u64,
    ) -> Result<Batch<F::Record>> {
        let CatchUp { since, until, held, resumes_at, .. } = so_far;
        if !since.is_held(&now, floor) {
            return self.snapshot_at(connection, now, true).await;
        }
        let until = until.as_ref().unwrap_or(&now);
        let limit = PAGE.min(self.sources.replay_limit);
        let Some((events, is_long)) = self.read_page(connection, so_far, until, limit).await? else {
            return self.snapshot_at(connection, now, true).await;
        };
        let last = events.last().filter(|_| events.len() == limit).map(Event::key);
        let projected = readable(self.project(events.into_iter().map(Arc::new), since, until))?;
        let Some(projected) = projected else { return self.snapshot_at(connection, now, true).await };
        let mut changes = Vec::from_iter(held.clone());
        changes.extend(projected);
        if let Some(last) = last {
            let (since, until, resumes_at) = (since.clone(), Some(until.clone()), *resumes_at);
            let held = changes.pop();
            let rest = CatchUp { since, until, last: Some(last), held, is_long, resumes_at };
            return Ok(Batch::going_on(changes, Next::CatchUp(Box::new(rest))));
        }
        self.complete(&mut changes, until);
        if let Some(present) = *resumes_at {
            changes.push(Change::ready(self.complete_cursor(until, present), false));
        }
        Ok(Batch::going_on(changes, Next::Listen(until.clone())))
    }

    /// The events of the next page, and whether the range is long. `None` if a resume may not read so many.
    async fn read_page(
        &self,
        connection: &mut PgConnection,
        so_far: &CatchUp<F::Record>,
        until: &Position,
        limit: usize,
    ) -> Result<Option<(Vec<Event>, bool)>> {
        let range = self.range(&so_far.since, until);
        let mut bound = match (so_far.resumes_at, &range.scope) {
            (Some(_), _) => Some(self.sources.replay_limit),
            (None, RangeScope::Company) if !so_far.is_long => Some(SORTED_MOST),
            (None, _) => None,
        };
        loop {
            match event::read_range(connection, &range, so_far.last.as_ref(), limit, bound).await? {
                RangePage::Events(events) => return Ok(Some((events, bound.is_none()))),
                RangePage::TooLong if so_far.resumes_at.is_some() => return Ok(None),
                RangePage::TooLong => bound = None,
            }
        }
    }
}
