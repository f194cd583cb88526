//! The driver of every subscription: a stream of a feed's present state, then of its changes.
//!
//! ```text
//! register with the hub ──► read state + position S, one transaction ──► SNAPSHOT … READY
//!                                       (with `after`: the events since, then READY)
//!        then from the queue: every event that S does not contain ──► INSERT / UPDATE / DELETE
//!        queue overflowed ──► read the log again from there, page by page        (no event is skipped)
//!        log has a gap, an event cannot be decoded ──► SNAPSHOT … READY with `resync: true`   (never silently)
//! ```
//!
//! The subscription registers with the hub before it reads the state. So an event that is committed after the state was
//! read is in the queue, and one that was committed before is contained in the position and left out. A concept
//! provides a [`Feed`]: how to read the present state, and what an event means to this client. The feed checks the
//! client's rights for each event.
//!
//! Streams of changes only ([`changes`], for widgets already in the field) leave out SNAPSHOT and READY; after a gap
//! they send each record of the state as an UPDATE with `resync: true`.
//!
//! A few streams [conflate](Newest): a slow client receives the newest state of one subject and not each change.
//!
//! **Failures.** While the database is away, a new stream ends with UNAVAILABLE. An open one is silent and catches up
//! afterwards; it ends only with an error that a retry cannot mend, or when the client drops it. No connection is held
//! while a client is slow.

mod catch_up;
mod driver;
mod newest;
mod stream_event;

use std::{future::Future, sync::Arc, time::Duration};

use async_graphql::Enum;
use futures_util::{Stream, future::BoxFuture};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use self::{
    catch_up::CatchUp,
    driver::{Batch, Driver, Next, readable},
    newest::LastSent,
};
pub use self::{newest::Newest, stream_event::StreamEvent};
use crate::platform::{
    error::{Code, Result},
    event::{Cursor, Event, Hub, Interest, Subject, SubjectName, hub::Received},
};

/// What a message of a stream says about its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Enum)]
pub enum ChangeOperation {
    /// The record as it was when the stream began, or began again.
    Snapshot,
    /// The present state is complete; changes follow. No record.
    Ready,
    /// The record is new, or has entered the stream's filter.
    Insert,
    /// The record has changed.
    Update,
    /// The record is gone, or has left the stream's filter; as it is now.
    Delete,
}

/// A record of the present state.
#[derive(Debug, Clone)]
pub struct Versioned<R> {
    /// The feed's record, as [`Feed::project`] would give it.
    pub record: R,
    /// The version of the record's subject.
    pub version: i32,
}

/// One message of a stream.
#[derive(Debug, Clone)]
pub struct Change<R> {
    /// What happened to the record.
    pub operation: ChangeOperation,
    /// `None` on READY, and on a DELETE for which a [conflating](Newest) stream read no event.
    pub record: Option<R>,
    /// Resumes the stream after this message.
    pub cursor: Cursor,
    /// True when the state is sent again because the log does not hold all changes in between.
    pub resync: bool,
    /// The event behind the message, whose [`RenderCache`](crate::platform::event::RenderCache) is shared with other subscriptions.
    pub event: Option<Arc<Event>>,
}

/// One client's subscription to a concept: its state, its events, its rights.
pub trait Feed: Send + Sync + 'static {
    /// The record of the stream's messages.
    type Record: Clone + Send + Sync + 'static;

    /// The company whose events the stream reads.
    fn company_id(&self) -> Uuid;

    /// Which events [`Feed::project`] is called with.
    fn interests(&self) -> Vec<Interest>;

    /// The subject of a stream of one subject. Its cursors are then (subject, version).
    fn subject(&self) -> Option<Subject>;

    /// Reads the present state, in the order in which the stream sends it. A stream of one subject must sort by
    /// version, because a row's cursor resumes with the next version.
    ///
    /// # Errors
    /// `NOT_FOUND` when the stream is about one subject that the caller may not see.
    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>>;

    /// Reads what a stream of changes only sends first, in place of the present state; by default nothing.
    ///
    /// # Errors
    /// `NOT_FOUND` when the stream is about one subject that the caller may not see.
    fn first<'a>(&'a self, _connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Self::Record>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// True if a slow client receives only the newest state. Only for a stream of one subject; see [`Newest`].
    fn conflates(&self) -> bool {
        false
    }

    /// What `event` means to this client; `None` if it concerns no record that the client may see.
    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>>;
}

/// What every subscription reads from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// For the present state and for reading the log again.
    pub pool: PgPool,
    /// For new events.
    pub hub: Hub,
    /// Most events that one resume replays; a page of a catch-up is no larger.
    pub replay_limit: usize,
}

/// Pause before the first retry while the database is away; doubled up to [`RETRY_MOST`].
const RETRY_LEAST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// How a stream begins.
enum Opening {
    /// SNAPSHOT of the present state, then READY.
    Snapshot,
    /// The changes since the cursor, then READY.
    After(Cursor),
    /// No state: only changes from now on.
    Changes,
}

/// A stream of `feed` that begins with its present state, or with the changes since `after`. An error ends it.
pub fn subscribe<F: Feed>(
    sources: &Sources,
    feed: F,
    after: Option<Cursor>,
) -> impl Stream<Item = Result<Change<F::Record>>> + Send + use<F> {
    stream(sources, feed, after.map_or(Opening::Snapshot, Opening::After))
}

/// A stream of the changes of `feed` from now on, after its [first](Feed::first) records. An error ends it.
pub fn changes<F: Feed>(sources: &Sources, feed: F) -> impl Stream<Item = Result<Change<F::Record>>> + Send + use<F> {
    stream(sources, feed, Opening::Changes)
}

fn stream<F: Feed>(
    sources: &Sources,
    feed: F,
    opening: Opening,
) -> impl Stream<Item = Result<Change<F::Record>>> + Send + use<F> {
    let subscription = sources.hub.subscribe(feed.interests());
    let subject = feed.subject().map(|subject| SubjectName::new(subject.subject_type, &subject.id));
    let changes_only = matches!(opening, Opening::Changes);
    let driver = Driver { sources: sources.clone(), feed, subject, changes_only };
    // Reads of the database are boxed, because the stream's size is memory of every idle subscription.
    async_stream::try_stream! {
        let conflates = driver.feed.conflates();
        let mut last_sent = LastSent::default();
        let mut batch = match opening {
            Opening::Snapshot => Box::pin(driver.snapshot(false)).await?,
            Opening::After(cursor) => Box::pin(driver.resume(&cursor)).await?,
            Opening::Changes => Box::pin(driver.first()).await?,
        };
        loop {
            for change in batch.changes {
                if conflates {
                    last_sent.record(&change);
                }
                yield change;
            }
            // No connection or transaction is open while the client takes its time to read these messages.
            batch = match batch.next {
                Next::CatchUp(rest) => Box::pin(with_retry(|| driver.page(&rest))).await?,
                Next::Listen(base) => match subscription.queue().recv().await {
                    Received::Delivery(delivery) if conflates => {
                        let waiting = subscription.queue().drain();
                        match readable(driver.newest(&delivery, &waiting, &base, &last_sent))? {
                            Some(newest) => Batch { changes: Vec::from_iter(newest), next: Next::Listen(base) },
                            None => Box::pin(with_retry(|| driver.snapshot_or_delete(&LastSent::Nothing))).await?,
                        }
                    }
                    Received::Delivery(delivery) => match readable(driver.delivered(&delivery, &base))? {
                        Some(changes) => Batch { changes, next: Next::Listen(base) },
                        None => Box::pin(with_retry(|| driver.snapshot(true))).await?,
                    },
                    Received::Lagged(_) if conflates => {
                        Box::pin(with_retry(|| driver.snapshot_or_delete(&last_sent))).await?
                    }
                    Received::Lagged(since) => {
                        let catch_up = CatchUp::since(since.union(&base));
                        Batch { changes: Vec::new(), next: Next::CatchUp(Box::new(catch_up)) }
                    }
                    // The log may belong to a restored database; discard what was sent.
                    Received::Resync if conflates => {
                        Box::pin(with_retry(|| driver.snapshot_or_delete(&LastSent::Nothing))).await?
                    }
                    Received::Resync => Box::pin(with_retry(|| driver.snapshot(true))).await?,
                },
            };
        }
    }
}

/// Repeats `read` until the database is back, or until it fails for another reason.
async fn with_retry<T, F: Future<Output = Result<T>>>(read: impl Fn() -> F) -> Result<T> {
    let mut pause = RETRY_LEAST;
    loop {
        match read().await {
            Err(error) if error.code() == Code::Unavailable => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_MOST);
            }
            result => return result,
        }
    }
}
