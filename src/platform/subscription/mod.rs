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
//! Streams of changes only (for widgets already in the field) leave out SNAPSHOT; after a gap they send each record of the
//! state as an UPDATE with `resync: true`. Their clients keep no cursor, so a [`bookmark`] keeps their place.
//!
//! A large state is sent [in pages](Listing), and so is a long stretch of the log. Only some streams [read](ReadGate) at
//! once. Values that are computed from the state are streams of their own kind, see [`derived`].
//!
//! A few streams [conflate](Newest): a slow client receives the newest state of one subject and not each change. A few
//! are [paced](Pace): changes that follow each other closely are sent as one.
//!
//! **Failures.** While the database is away, a new stream ends with UNAVAILABLE. An open one is silent and catches up
//! afterwards; it ends only with an error that a retry cannot mend, or when the client drops it. No connection is held
//! while a client is slow.

pub mod bookmark;
mod catch_up;
pub mod derived;
mod driver;
mod gate;
mod listing;
mod newest;
mod paced;
mod project;

use std::{future::Future, sync::Arc, time::Duration};

use async_graphql::Enum;
use futures_util::{Stream, future::BoxFuture};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use self::{
    catch_up::CatchUp,
    driver::{Batch, Driver, Next, readable},
    listing::Ahead,
    newest::LastSent,
};
pub use self::{
    gate::ReadGate,
    listing::{Listing, Loaded},
    newest::Newest,
    paced::{Pace, paced},
    project::{operation, project},
};
use crate::platform::{
    error::{Code, Result},
    event::{self, Cursor, Event, Hub, Interest, Subject, SubjectName, hub::Received},
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
    /// Of a change that stands for several ([`paced`]): the version of the first of them.
    pub since: Option<i32>,
}

impl<R> Change<R> {
    /// READY, at which the client has received everything that `cursor` stands for.
    fn ready(cursor: Cursor, resync: bool) -> Self {
        Self { operation: ChangeOperation::Ready, record: None, cursor, resync, event: None, since: None }
    }
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

    /// Lists the present state, in the order in which the stream sends it, for a state that may be large: the records are
    /// then read by [`Feed::load`], page by page. By default a stream reads its [whole state](Feed::snapshot).
    fn listing<'a>(&'a self, _connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Option<Listing>>> {
        Box::pin(async { Ok(None) })
    }

    /// Reads records of a [listing](Feed::listing), as they are now.
    fn load<'a>(
        &'a self,
        _connection: &'a mut PgConnection,
        _ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Loaded<Self::Record>>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Reads the version of the one subject of the stream. A feed whose state is large reads less than all of it.
    ///
    /// # Errors
    /// `NOT_FOUND` when the caller may not see the subject.
    fn present_version<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<i32>> {
        Box::pin(async { Ok(driver::newest(&self.snapshot(connection).await?)) })
    }

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

    /// How the stream is paced; by default every change is sent by itself. Only for a stream of one subject.
    fn pace(&self) -> Option<&'static dyn Pace<Self::Record>> {
        None
    }

    /// What `event` means to this client; `None` if it concerns no record that the client may see. [`project`] decides it
    /// from the client's rights and the stream's filter.
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
    /// How many streams read at once.
    pub gate: ReadGate,
}

/// Pause before the first retry while the database is away; doubled up to [`RETRY_MOST`].
const RETRY_LEAST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// How a stream begins.
#[derive(Debug)]
pub enum Opening {
    /// SNAPSHOT of the present state, then READY.
    Snapshot,
    /// The changes since the cursor, then READY.
    After(Cursor),
    /// No state: the [first](Feed::first) records, READY with the cursor at which the stream begins, then only changes from
    /// now on.
    Changes,
    /// As [`Opening::Changes`], for a stream that was open before: the changes since the cursor, READY, then those from now
    /// on.
    Missed(Cursor),
}

/// A stream of `feed` that begins with its present state, or with the changes since `after`. An error ends it.
pub fn subscribe<F: Feed>(
    sources: &Sources,
    feed: F,
    after: Option<Cursor>,
) -> impl Stream<Item = Result<Change<F::Record>>> + Send + use<F> {
    stream(sources, Arc::new(feed), after.map_or(Opening::Snapshot, Opening::After))
}

/// A stream of `feed`. An error ends it.
pub fn stream<F: Feed>(
    sources: &Sources,
    feed: Arc<F>,
    opening: Opening,
) -> impl Stream<Item = Result<Change<F::Record>>> + Send + use<F> {
    let subscription = sources.hub.subscribe(feed.interests());
    let subject = feed.subject().map(|subject| SubjectName::new(subject.subject_type, &subject.id));
    let changes_only = matches!(opening, Opening::Changes | Opening::Missed(_));
    let driver = Driver { sources: sources.clone(), feed, subject, changes_only };
    // Reads of the database are boxed, because the stream's size is memory of every idle subscription.
    async_stream::try_stream! {
        let conflates = driver.feed.conflates();
        let mut last_sent = LastSent::default();
        let mut ahead = Ahead::default();
        let mut batch = match opening {
            Opening::Snapshot => Box::pin(driver.snapshot(false)).await?,
            Opening::After(cursor) | Opening::Missed(cursor) => Box::pin(driver.resume(&cursor)).await?,
            Opening::Changes => Box::pin(driver.first()).await?,
        };
        loop {
            ahead.take(&mut batch);
            for change in batch.changes {
                if change.event.as_ref().is_some_and(|event| ahead.contains(event)) {
                    continue;
                }
                if conflates {
                    last_sent.record(&change);
                }
                yield change;
            }
            // No connection or transaction is open while the client takes its time to read these messages.
            batch = match batch.next {
                Next::Load(rest) => Box::pin(with_retry(|| driver.next_page(&rest))).await?,
                Next::CatchUp(rest) => Box::pin(with_retry(|| driver.page(&rest))).await?,
                Next::Listen(base) => match subscription.queue().recv().await {
                    Received::Delivery(delivery) if conflates => {
                        let waiting = subscription.queue().drain();
                        match readable(driver.newest(&delivery, &waiting, &base, &last_sent))? {
                            Some(newest) => Batch::going_on(Vec::from_iter(newest), Next::Listen(base)),
                            None => Box::pin(with_retry(|| driver.snapshot_or_delete(&LastSent::Nothing))).await?,
                        }
                    }
                    Received::Delivery(delivery) => match readable(driver.delivered(&delivery, &base))? {
                        Some(changes) => Batch::going_on(changes, Next::Listen(base)),
                        None => Box::pin(with_retry(|| driver.snapshot(true))).await?,
                    },
                    Received::Lagged(_) if conflates => {
                        Box::pin(with_retry(|| driver.snapshot_or_delete(&last_sent))).await?
                    }
                    Received::Lagged(since) => {
                        let catch_up = CatchUp::since(since.union(&base));
                        Batch::going_on(Vec::new(), Next::CatchUp(Box::new(catch_up)))
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

/// Where the log ends now: the cursor of a stream that begins with nothing.
///
/// # Errors
/// `UNAVAILABLE`
pub async fn cursor_now(sources: &Sources) -> Result<Cursor> {
    let mut reading = sources.gate.enter(&sources.pool).await?;
    let read = async {
        let mut transaction = driver::consistent_read(&mut reading.connection).await?;
        let (position, _) = event::position_now(&mut transaction).await?;
        transaction.commit().await?;
        Ok(Cursor::At(position))
    };
    let outcome = tokio::time::timeout(reading.deadline, read).await;
    reading.finish(outcome)
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
