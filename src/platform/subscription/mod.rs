//! The one driver of all subscriptions.
//!
//! ```text
//! register with the hub ──► read state + position S, one transaction ──► SNAPSHOT … READY
//!                                       (with `after`: events since, READY)
//!        then from the mailbox: every event that S does not contain ──► INSERT / UPDATE / DELETE
//!        mailbox overflowed ──► re-read the log from where it did, page by page  (nothing is skipped)
//!        log has a gap      ──► SNAPSHOT … READY with `resync: true`   (never silently)
//! ```
//!
//! Streams of changes only ([`changes`], for widgets already in the field) leave out SNAPSHOT and READY; where the log
//! has a gap, what would be a SNAPSHOT is an UPDATE with `resync: true`.
//!
//! Registering comes first: an event committed after the state was read is then surely in the mailbox, and one
//! committed before is recognised by the position and left out. A concept only says, by its [`Feed`], what the
//! present state is and what an event means to this reader; rights are decided there, for each event.
//!
//! A few streams [conflate](Newest): a slow reader is told the newest state of its one subject, not each change.
//!
//! An open subscription outlives the database: while it is away nothing is sent, afterwards it catches up.

mod catch_up;
mod driver;
mod newest;

use std::{future::Future, sync::Arc, time::Duration};

use async_graphql::Enum;
use futures_util::{Stream, future::BoxFuture};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

pub use self::newest::Newest;
use self::{
    catch_up::CatchUp,
    driver::{Batch, Driver, Next},
    newest::LastSent,
};
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

/// A record of the present state with its subject's version.
#[derive(Debug, Clone)]
pub struct Versioned<R> {
    /// The record.
    pub record: R,
    /// Its version.
    pub version: i32,
}

/// One message of a stream.
#[derive(Debug, Clone)]
pub struct Change<R> {
    /// What it says.
    pub operation: ChangeOperation,
    /// About what; `None` on READY, and on a DELETE that a [conflating](Newest) stream did not read the event of.
    pub record: Option<R>,
    /// Resumes the stream after this message.
    pub cursor: Cursor,
    /// True when the state is sent again because changes are missing in between.
    pub resync: bool,
    /// What it tells of, where other subscriptions are told of it too.
    pub event: Option<Arc<Event>>,
}

/// What a concept tells the driver about one subscription.
pub trait Feed: Send + Sync + 'static {
    /// What the stream carries.
    type Record: Clone + Send + Sync + 'static;

    /// The tenant.
    fn company_id(&self) -> Uuid;

    /// Which events to look at.
    fn interests(&self) -> Vec<Interest>;

    /// The one subject, for a stream of one; its cursors are then (subject, version).
    fn subject(&self) -> Option<Subject>;

    /// The present state, in the order in which it is to be sent; for a stream of one subject by ascending version,
    /// since each row's cursor says that what comes after its version is still to be told.
    ///
    /// # Errors
    /// `NOT_FOUND` when the stream is about one subject that the caller may not see.
    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>>;

    /// What a stream of changes only sends at once, in place of the present state; nothing, for most.
    ///
    /// # Errors
    /// `NOT_FOUND` when the stream is about one subject that the caller may not see.
    fn first<'a>(&'a self, _connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Self::Record>>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    /// True if a slow reader is to be told the newest only. For a stream of one subject; see [`Newest`].
    fn conflates(&self) -> bool {
        false
    }

    /// What `event` means to this reader: `None` when it is not for it.
    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>>;
}

/// Where subscriptions get their state and their events.
#[derive(Debug, Clone)]
pub struct Sources {
    /// For the present state and for re-reading the log.
    pub pool: PgPool,
    /// For what comes.
    pub hub: Hub,
    /// Most events that one resume replays, and at most a page of a catch-up.
    pub replay_limit: usize,
}

/// Pause before the database is asked again while it is away; doubled up to [`RETRY_MOST`].
const RETRY_LEAST: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);

/// How a stream begins.
enum Opening {
    /// With the present state.
    Present,
    /// With what happened since.
    After(Cursor),
    /// With what happens from now on.
    Changes,
}

/// The stream of `feed`, from the beginning or from `after`. An error ends it.
pub fn subscribe<F: Feed>(
    sources: &Sources,
    feed: F,
    after: Option<Cursor>,
) -> impl Stream<Item = Result<Change<F::Record>>> + Send + use<F> {
    stream(sources, feed, after.map_or(Opening::Present, Opening::After))
}

/// The changes of `feed` from now on, after what it sends [first](Feed::first). An error ends it.
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
    // Kept small, as nearly all streams wait nearly always: reads of the database are boxed.
    async_stream::try_stream! {
        let conflates = driver.feed.conflates();
        let mut last_sent = LastSent::default();
        let mut batch = match opening {
            Opening::Present => Box::pin(driver.present(false)).await?,
            Opening::After(cursor) => Box::pin(driver.resume(&cursor)).await?,
            Opening::Changes => Box::pin(driver.first()).await?,
        };
        loop {
            for change in batch.changes {
                if conflates {
                    last_sent.note(&change);
                }
                yield change;
            }
            // No connection is held up to here: the client may take its time.
            batch = match batch.next {
                Next::CatchUp(rest) => Box::pin(persistently(|| driver.page(&rest))).await?,
                Next::Listen(base) => match subscription.queue().recv().await {
                    Received::Delivery(delivery) if conflates => {
                        let waiting = subscription.queue().drain();
                        let newest = driver.newest(&delivery, &waiting, &base, &last_sent)?;
                        Batch { changes: Vec::from_iter(newest), next: Next::Listen(base) }
                    }
                    Received::Delivery(delivery) => {
                        Batch { changes: driver.delivered(&delivery, &base)?, next: Next::Listen(base) }
                    }
                    Received::Lagged(_) if conflates => Box::pin(persistently(|| driver.overtaken(&last_sent))).await?,
                    Received::Lagged(since) => {
                        let catch_up = CatchUp::since(since.union(&base));
                        Batch { changes: Vec::new(), next: Next::CatchUp(Box::new(catch_up)) }
                    }
                    // Of another history perhaps, in which what was told means nothing.
                    Received::Resync if conflates => Box::pin(persistently(|| driver.overtaken(&LastSent::Nothing))).await?,
                    Received::Resync => Box::pin(persistently(|| driver.present(true))).await?,
                },
            };
        }
    }
}

/// Repeats `read` while the database is away.
async fn persistently<T, F: Future<Output = Result<T>>>(read: impl Fn() -> F) -> Result<T> {
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
