//! Reads the log again for a subscription whose queue overflowed, however much was written since.
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
//! The queue accepts events again since before the first page was read, and is read after the last one. An event that
//! `until` does not contain is there; or the queue overflowed again, and the next catch-up reads it. An event that
//! `until` contains is left out.
//!
//! The order of pages is not that of commits, so no position describes a client that drops in between. All messages but
//! the last carry `since`, and a resume repeats at most what this catch-up has sent.
//!
//! Retention may drop events of the range before they are read. Each page checks in its own transaction that the log
//! reaches back far enough; if not, the stream sends the present state, marked as a resync.

use std::sync::Arc;

use super::{
    Change, Feed,
    driver::{Batch, Driver, Next, readable},
};
use crate::platform::{
    error::Result,
    event::{self, Event, EventKey, Position},
};

/// Most events of one page. A larger page costs more memory for each slow client; a smaller one reads the range's index
/// more often.
const PAGE: usize = 5_000;

/// The transaction of one page.
type Read = sqlx::Transaction<'static, sqlx::Postgres>;

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
}

impl<R> CatchUp<R> {
    /// A catch-up of a client that has received all of `since`.
    pub(super) fn since(since: Position) -> Self {
        Self { since, until: None, last: None, held: None }
    }
}

impl<F: Feed> Driver<F> {
    /// Reads the next page.
    pub(super) async fn page(&self, so_far: &CatchUp<F::Record>) -> Result<Batch<F::Record>> {
        let CatchUp { since, until, last, held } = so_far;
        let mut transaction = self.consistent_read().await?;
        let (now, floor) = event::position_now(&mut transaction).await?;
        if !since.is_held(&now, floor) {
            return self.state_again(transaction, now).await;
        }
        let until = until.as_ref().unwrap_or(&now);
        let limit = PAGE.min(self.sources.replay_limit);
        let range = self.range(since, until);
        let events = event::read_range(&mut transaction, &range, last.as_ref(), limit).await?;
        let last = events.last().filter(|_| events.len() == limit).map(Event::key);
        let projected = readable(self.project(events.into_iter().map(Arc::new), since, until))?;
        let Some(projected) = projected else { return self.state_again(transaction, now).await };
        transaction.commit().await?;
        let mut changes = Vec::from_iter(held.clone());
        changes.extend(projected);
        let next = if let Some(last) = last {
            let (since, until) = (since.clone(), Some(until.clone()));
            Next::CatchUp(Box::new(CatchUp { since, until, last: Some(last), held: changes.pop() }))
        } else {
            self.complete(&mut changes, until);
            Next::Listen(until.clone())
        };
        Ok(Batch { changes, next })
    }

    /// The present state, marked as a resync, from the transaction of a page that could not be made.
    async fn state_again(&self, mut transaction: Read, now: Position) -> Result<Batch<F::Record>> {
        let state = self.feed.snapshot(&mut transaction).await?;
        transaction.commit().await?;
        Ok(self.state_as_batch(state, now, true))
    }
}
