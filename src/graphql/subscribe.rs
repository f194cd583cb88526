//! The one driver of all subscriptions.
//!
//! ```text
//! register with the hub ──► read state + position S, one transaction ──► SNAPSHOT … READY
//!                                       (with `after`: events since, READY)
//!        then from the mailbox: every event that S does not contain ──► INSERT / UPDATE / DELETE
//!        mailbox overflowed ──► re-read the log from where it did      (nothing is skipped)
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
//! An open subscription outlives the database: while it is away nothing is sent, afterwards it catches up.

use std::{future::Future, sync::Arc, time::Duration};

use async_graphql::Enum;
use futures_util::{Stream, future::BoxFuture};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::{
    error::{Code, Error, Result},
    event::{self, Cursor, Event, Hub, Interest, Position, Resumed, Subject, hub::Mail},
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
    /// About what; `None` on READY.
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
    /// Most events that one resume replays.
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
    let sources = sources.clone();
    // Reads of the database are boxed, so that a stream that waits, as nearly all do, does not keep room for them.
    async_stream::try_stream! {
        let subscription = sources.hub.subscribe(feed.interests());
        let (subject, changes_only) = (feed.subject(), matches!(opening, Opening::Changes));
        let driver = Driver { sources, feed, subject, changes_only };
        let opening = match opening {
            Opening::Present => Box::pin(driver.present(false)).await?,
            Opening::After(cursor) => Box::pin(driver.resume(&cursor)).await?,
            Opening::Changes => Box::pin(driver.first()).await?,
        };
        let mut behind = opening.position;
        for change in opening.changes {
            yield change;
        }
        loop {
            let again = match subscription.mailbox().next().await {
                Mail::Delivery(delivery) => {
                    let new = delivery.events.into_iter().filter(|event| !behind.contains(event.xid));
                    let passed = later(&delivery.read.before, &behind);
                    for change in driver.project(new, passed, &delivery.read.after)? {
                        yield change;
                    }
                    continue;
                }
                Mail::Lagged(position) => Box::pin(persistently(|| driver.catch_up(&position, &behind))).await?,
                Mail::Resync => Box::pin(persistently(|| driver.present(true))).await?,
            };
            behind = again.position;
            for change in again.changes {
                yield change;
            }
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

/// Messages that bring a reader to `position`.
struct Batch<R> {
    changes: Vec<Change<R>>,
    /// Events contained in it are in `changes` already, or part of the state sent.
    position: Position,
}

struct Driver<F> {
    sources: Sources,
    feed: F,
    /// The feed's.
    subject: Option<Subject>,
    changes_only: bool,
}

impl<F: Feed> Driver<F> {
    /// A transaction in which the state, the log and the position agree.
    async fn consistent_read(&self) -> Result<sqlx::Transaction<'static, sqlx::Postgres>> {
        let mut transaction = self.sources.pool.begin_with("begin isolation level repeatable read read only").await?;
        event::hold_log(&mut transaction).await?;
        Ok(transaction)
    }

    /// SNAPSHOT for each record, then READY.
    async fn present(&self, resync: bool) -> Result<Batch<F::Record>> {
        let mut transaction = self.consistent_read().await?;
        let (position, _) = event::position_now(&mut transaction).await?;
        let state = self.feed.snapshot(&mut transaction).await?;
        transaction.commit().await?;
        Ok(self.state_as_batch(state, position, resync))
    }

    /// What a stream of changes only begins with.
    async fn first(&self) -> Result<Batch<F::Record>> {
        let mut transaction = self.consistent_read().await?;
        let (position, _) = event::position_now(&mut transaction).await?;
        let records = self.feed.first(&mut transaction).await?;
        transaction.commit().await?;
        let changes = records.into_iter().map(|record| Change {
            operation: ChangeOperation::Update,
            record: Some(record),
            cursor: Cursor::At(position.clone()),
            resync: false,
            event: None,
        });
        Ok(Batch { changes: changes.collect(), position })
    }

    fn state_as_batch(&self, state: Vec<Versioned<F::Record>>, position: Position, resync: bool) -> Batch<F::Record> {
        let subject = &self.subject;
        let complete = match subject {
            Some(subject) => subject_cursor(&position, subject, newest(&state)),
            None => Cursor::At(position.clone()),
        };
        let last = state.len().saturating_sub(1);
        let snapshot = state.into_iter().enumerate().map(|(index, Versioned { record, version })| {
            let cursor = match subject {
                Some(subject) => subject_cursor(&position, subject, version),
                None if index == last => complete.clone(),
                // Dropped here, a client has only part of the state: no position describes that.
                None => Cursor::Restart,
            };
            let operation = if self.changes_only { ChangeOperation::Update } else { ChangeOperation::Snapshot };
            Change { operation, record: Some(record), cursor, resync, event: None }
        });
        let mut changes: Vec<_> = snapshot.collect();
        if !self.changes_only {
            let operation = ChangeOperation::Ready;
            changes.push(Change { operation, record: None, cursor: complete, resync, event: None });
        }
        Batch { changes, position }
    }

    /// Every change since `cursor`, then READY; or the present state, marked as a resync, where the log does not
    /// reach back to it.
    async fn resume(&self, cursor: &Cursor) -> Result<Batch<F::Record>> {
        let mut transaction = self.consistent_read().await?;
        let (position, floor) = event::position_now(&mut transaction).await?;
        let subject = &self.subject;
        // Also for a resume: it tells whether the caller may see the subject at all, and its version.
        let state = match subject {
            Some(_) => self.feed.snapshot(&mut transaction).await?,
            None => Vec::new(),
        };
        let limit = self.sources.replay_limit;
        let resumed = match (cursor, subject) {
            (Cursor::Restart, _) => Resumed::Gap,
            (Cursor::At(since), _) => {
                let (kinds, id) = (self.kinds(), subject.as_ref().map(|subject| subject.id.as_str()));
                let company_id = self.feed.company_id();
                event::resume(&mut transaction, company_id, &kinds, id, since, (&position, floor), limit).await?
            }
            (Cursor::Subject { subject: named, incarnation, version }, Some(subject)) if *named == name(subject) => {
                let present = newest(&state);
                if *incarnation != position.incarnation || *version > present {
                    Resumed::Gap
                } else {
                    let company_id = self.feed.company_id();
                    match event::resume_subject(&mut transaction, company_id, subject, *version, limit).await? {
                        // Nothing kept although the subject has moved on: it was dropped.
                        Resumed::Events(events) if events.is_empty() && *version < present => Resumed::Gap,
                        resumed => resumed,
                    }
                }
            }
            (Cursor::Subject { .. }, _) => return Err(Error::invalid("after", "this cursor is of another stream")),
        };
        let events = match resumed {
            Resumed::Events(events) => events,
            Resumed::Gap => {
                let state = if subject.is_some() { state } else { self.feed.snapshot(&mut transaction).await? };
                transaction.commit().await?;
                return Ok(self.state_as_batch(state, position, true));
            }
        };
        transaction.commit().await?;
        let before = if let Cursor::At(since) = cursor { since } else { &position };
        let mut changes = self.project(events.into_iter().map(Arc::new), before, &position)?;
        let ready = match subject {
            Some(subject) => subject_cursor(&position, subject, newest(&state)),
            None => Cursor::At(position.clone()),
        };
        let operation = ChangeOperation::Ready;
        changes.push(Change { operation, record: None, cursor: ready, resync: false, event: None });
        Ok(Batch { changes, position })
    }

    /// Every change since `since` that is not `behind` the reader, which was too slow for its mailbox. (`since` may be
    /// older than the state it was sent: the mailbox fills from the moment of registration.)
    async fn catch_up(&self, since: &Position, behind: &Position) -> Result<Batch<F::Record>> {
        let mut transaction = self.consistent_read().await?;
        let (position, floor) = event::position_now(&mut transaction).await?;
        let subject = &self.subject;
        let id = subject.as_ref().map(|subject| subject.id.as_str());
        let (company_id, kinds) = (self.feed.company_id(), self.kinds());
        let bounds = (&position, floor);
        let limit = self.sources.replay_limit;
        let resumed = event::resume(&mut transaction, company_id, &kinds, id, since, bounds, limit).await?;
        let Resumed::Events(events) = resumed else {
            let state = self.feed.snapshot(&mut transaction).await?;
            transaction.commit().await?;
            return Ok(self.state_as_batch(state, position, true));
        };
        transaction.commit().await?;
        let missed = events.into_iter().filter(|event| !behind.contains(event.xid)).map(Arc::new);
        let changes = self.project(missed, later(since, behind), &position)?;
        Ok(Batch { changes, position })
    }

    fn kinds(&self) -> Vec<&'static str> {
        let mut kinds: Vec<_> = self.feed.interests().iter().map(|interest| interest.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// What `events`, all from one read between `before` and `after`, mean to this reader. All but the last carry the
    /// position before the read, so that a client dropped among them gets the rest again.
    fn project(
        &self,
        events: impl Iterator<Item = Arc<Event>>,
        before: &Position,
        after: &Position,
    ) -> Result<Vec<Change<F::Record>>> {
        let subject = &self.subject;
        let mut changes = Vec::new();
        for event in events {
            let Some((operation, record)) = self.feed.project(&event)? else { continue };
            let cursor = match subject {
                Some(subject) => subject_cursor(after, subject, event.version),
                None => Cursor::At(before.clone()),
            };
            changes.push(Change { operation, record: Some(record), cursor, resync: false, event: Some(event) });
        }
        if let (None, Some(last)) = (subject, changes.last_mut()) {
            last.cursor = Cursor::At(after.clone());
        }
        Ok(changes)
    }
}

/// Of a read's start and what the reader was brought to by its last batch, both passed, the later. A server's reader
/// may lag behind the state that a subscription was sent: a client dropped inside that read must not be led back.
fn later<'a>(before: &'a Position, behind: &'a Position) -> &'a Position {
    if before.covers(behind) { before } else { behind }
}

/// The subject's version that a stream of one subject shows.
fn newest<R>(state: &[Versioned<R>]) -> i32 {
    state.iter().map(|row| row.version).max().unwrap_or(0)
}

fn name(subject: &Subject) -> String {
    format!("{}:{}", subject.kind, subject.id)
}

fn subject_cursor(position: &Position, subject: &Subject, version: i32) -> Cursor {
    Cursor::Subject { incarnation: position.incarnation, subject: name(subject), version }
}
