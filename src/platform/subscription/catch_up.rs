//! Re-reading the log for a subscription whose mailbox overflowed, however much was written since.
//!
//! ```text
//! behind the reader ─────┐ since                                until ┌── mailbox: what commits later
//!                        │ page │ page │ …, by (subject, version)     │
//! ```
//!
//! The range is fixed by the first page: all that is contained in the log's end of then, `until`, and not in what the
//! reader had, `since`. Both were seen by one snapshot each, so that a subject's events in between are its next ones
//! without a hole. The pages follow each other by (subject, version), each in a transaction of its own: nothing is held
//! while the client takes its time, and memory holds one page.
//!
//! The mailbox takes mail again since before the first page was read, and is looked at after the last: what `until`
//! does not contain, be it of a transaction that was under way, is there, or was too much for it again, which is the
//! next catch-up. What it does contain is recognised and left out.
//!
//! The order is not that of time. So no position describes what a client has that drops in between: all messages but
//! the last carry `since`, and a resume repeats at most what this catch-up has sent.
//!
//! Retention may drop what was not read yet. Each page asks in its own transaction how far the log goes back; if not far
//! enough, the present state is sent, marked as a resync.

use std::sync::Arc;

use super::{
    Change, Feed,
    driver::{Batch, Driver, Next},
};
use crate::platform::{
    error::Result,
    event::{self, Event, EventKey, Position},
};

/// Most events read at once: memory that a slow reader costs, against another look at the whole range for each page.
const PAGE: usize = 5_000;

/// How far a reader has caught up.
#[derive(Debug)]
pub(super) struct CatchUp<R> {
    /// What it had before.
    since: Position,
    /// What it is brought to; set by the first page.
    until: Option<Position>,
    /// The last event read.
    last: Option<EventKey>,
    /// The newest change, not sent yet: if what follows is not for this reader, it is the last one.
    held: Option<Change<R>>,
}

impl<R> CatchUp<R> {
    /// For a reader that has all of `since`.
    pub(super) fn since(since: Position) -> Self {
        Self { since, until: None, last: None, held: None }
    }
}

impl<F: Feed> Driver<F> {
    /// The next page.
    pub(super) async fn page(&self, so_far: &CatchUp<F::Record>) -> Result<Batch<F::Record>> {
        let CatchUp { since, until, last, held } = so_far;
        let mut transaction = self.consistent_read().await?;
        let (now, floor) = event::position_now(&mut transaction).await?;
        if !since.is_held(&now, floor) {
            let state = self.feed.snapshot(&mut transaction).await?;
            transaction.commit().await?;
            return Ok(self.state_as_batch(state, now, true));
        }
        let until = until.as_ref().unwrap_or(&now);
        let limit = PAGE.min(self.sources.replay_limit);
        let range = self.range(since, until);
        let events = event::read_range(&mut transaction, &range, last.as_ref(), limit).await?;
        transaction.commit().await?;
        let mut changes = Vec::from_iter(held.clone());
        let last = events.last().filter(|_| events.len() == limit).map(Event::key);
        changes.extend(self.project(events.into_iter().map(Arc::new), since, until)?);
        let next = if let Some(last) = last {
            let (since, until) = (since.clone(), Some(until.clone()));
            Next::CatchUp(Box::new(CatchUp { since, until, last: Some(last), held: changes.pop() }))
        } else {
            self.complete(&mut changes, until);
            Next::Listen(until.clone())
        };
        Ok(Batch { changes, next })
    }
}
