//! What a subscription reads from the database, and the messages that it makes of state and events.
//!
//! Every read is one short transaction, whole in memory before the first message is sent. So no connection waits for a
//! slow client.

use std::{borrow::Cow, sync::Arc};

use sqlx::PgConnection;

use super::{Change, ChangeOperation, Feed, Sources, Versioned, catch_up::CatchUp};
use crate::platform::{
    error::{Error, Result},
    event::{
        self, Cursor, Event, LogRange, Position, Resumed, SubjectName,
        hub::{Delivery, Read},
    },
};

/// Messages to send, and what follows them.
pub(super) struct Batch<R> {
    pub(super) changes: Vec<Change<R>>,
    pub(super) next: Next<R>,
}

/// What a stream does after it has sent a batch.
pub(super) enum Next<R> {
    /// Receive from the queue. Events that the position contains were sent already, or are part of the state that was
    /// sent.
    Listen(Position),
    /// Read more of the log first.
    CatchUp(Box<CatchUp<R>>),
}

/// The reads of one subscription; holds no connection between them.
pub(super) struct Driver<F> {
    pub(super) sources: Sources,
    pub(super) feed: F,
    /// How cursors name the feed's subject; `None` for a feed of many subjects.
    pub(super) subject: Option<SubjectName>,
    /// The stream leaves out SNAPSHOT and READY.
    pub(super) changes_only: bool,
}

impl<F: Feed> Driver<F> {
    /// Begins a transaction in which the state, the log and the position agree. Partitions of the log stay until it
    /// ends.
    pub(super) async fn consistent_read(&self) -> Result<sqlx::Transaction<'static, sqlx::Postgres>> {
        let mut transaction = self.sources.pool.begin_with("begin isolation level repeatable read read only").await?;
        event::hold_log(&mut transaction).await?;
        Ok(transaction)
    }

    /// Reads the present state: SNAPSHOT for each record, then READY.
    pub(super) async fn snapshot(&self, resync: bool) -> Result<Batch<F::Record>> {
        let mut transaction = self.consistent_read().await?;
        let (position, _) = event::position_now(&mut transaction).await?;
        let state = self.feed.snapshot(&mut transaction).await?;
        transaction.commit().await?;
        Ok(self.state_as_batch(state, position, resync))
    }

    /// Reads the records that a stream of changes only begins with.
    pub(super) async fn first(&self) -> Result<Batch<F::Record>> {
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
        Ok(Batch { changes: changes.collect(), next: Next::Listen(position) })
    }

    pub(super) fn state_as_batch(
        &self,
        state: Vec<Versioned<F::Record>>,
        position: Position,
        resync: bool,
    ) -> Batch<F::Record> {
        let subject = &self.subject;
        let complete = match subject {
            Some(subject) => subject.cursor(&position, newest(&state)),
            None => Cursor::At(position.clone()),
        };
        let last = state.len().saturating_sub(1);
        let snapshot = state.into_iter().enumerate().map(|(index, Versioned { record, version })| {
            let cursor = match subject {
                Some(subject) => subject.cursor(&position, version),
                None if index == last => complete.clone(),
                // No position describes a client that drops here with part of the state.
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
        Batch { changes, next: Next::Listen(position) }
    }

    /// Reads every change since `cursor`, then READY; or the present state, marked as a resync, where the log does not
    /// reach back to the cursor.
    pub(super) async fn resume(&self, cursor: &Cursor) -> Result<Batch<F::Record>> {
        let mut transaction = self.consistent_read().await?;
        let (position, floor) = event::position_now(&mut transaction).await?;
        let cursor = &cursor.resumable(&mut transaction, &position, floor).await?;
        let subject = &self.subject;
        // A resume of one subject reads its state too: it fails if the caller may not see the subject, and gives its
        // version.
        let state = match subject {
            Some(_) => self.feed.snapshot(&mut transaction).await?,
            None => Vec::new(),
        };
        let limit = self.sources.replay_limit;
        let resumed = match (cursor, subject) {
            (Cursor::Restart | Cursor::Sealed(_), _) => Resumed::Gap,
            (Cursor::At(since), _) => {
                let missed = self.range(since, &position);
                event::resume(&mut transaction, &missed, floor, limit).await?
            }
            (Cursor::Subject { subject: named, version, .. }, Some(subject)) if subject.is(named) => {
                self.resume_subject(&mut transaction, *version, newest(&state)).await?
            }
            (Cursor::Subject { .. }, _) => return Err(Error::invalid("after", "this cursor is of another stream")),
        };
        let before = if let Cursor::At(since) = cursor { since } else { &position };
        let changes = match resumed {
            Resumed::Events(events) => readable(self.project(events.into_iter().map(Arc::new), before, &position))?,
            Resumed::Gap => None,
        };
        let Some(mut changes) = changes else {
            let state = if subject.is_some() { state } else { self.feed.snapshot(&mut transaction).await? };
            transaction.commit().await?;
            return Ok(self.state_as_batch(state, position, true));
        };
        transaction.commit().await?;
        self.complete(&mut changes, &position);
        let ready = match subject {
            Some(subject) => subject.cursor(&position, newest(&state)),
            None => Cursor::At(position.clone()),
        };
        let operation = ChangeOperation::Ready;
        changes.push(Change { operation, record: None, cursor: ready, resync: false, event: None });
        Ok(Batch { changes, next: Next::Listen(position) })
    }

    /// Reads the events of the one subject since `version` up to its `present` version.
    async fn resume_subject(&self, connection: &mut PgConnection, version: i32, present: i32) -> Result<Resumed> {
        let (company_id, limit) = (self.feed.company_id(), self.sources.replay_limit);
        let Some(subject) = self.feed.subject() else { return Ok(Resumed::Gap) };
        Ok(match event::resume_subject(connection, company_id, &subject, version, limit).await? {
            // The log does not lead to the present version: retention dropped the last events, or the client's version
            // is one that the subject never had.
            Resumed::Events(events) if events.last().map_or(version, |last| last.version) != present => Resumed::Gap,
            resumed => resumed,
        })
    }

    /// The part of the log from `since` to `until` that may concern this stream.
    pub(super) fn range(&self, since: &Position, until: &Position) -> LogRange {
        let mut subject_types: Vec<_> = self.feed.interests().iter().map(|interest| interest.subject_type).collect();
        subject_types.sort_unstable();
        subject_types.dedup();
        LogRange {
            company_id: self.feed.company_id(),
            subject_types,
            subject_id: self.feed.subject().map(|subject| subject.id),
            since: since.clone(),
            until: until.clone(),
        }
    }

    /// The messages for those events of a delivery that `base` does not contain.
    pub(super) fn delivered(&self, delivery: &Delivery, base: &Position) -> Result<Vec<Change<F::Record>>> {
        let new = delivery.events.iter().filter(|event| !base.contains(event.xid)).map(Arc::clone);
        let Read { before, after } = &*delivery.read;
        // This process's reader may be behind the state that the client received. The cursors of such a read must not
        // go back behind that state, so they include `base`. (Cursors of a stream of one subject hold its version
        // instead.)
        let before = if self.subject.is_some() { Cow::Borrowed(before) } else { Cow::Owned(before.union(base)) };
        let mut changes = self.project(new, &before, after)?;
        self.complete(&mut changes, after);
        Ok(changes)
    }

    /// The messages for `events`, which all lie between `before` and `after`. They carry the position before, so that a
    /// client that drops among them receives all of them again.
    pub(super) fn project(
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
                Some(subject) => subject.cursor(after, event.version),
                None => Cursor::At(before.clone()),
            };
            changes.push(Change { operation, record: Some(record), cursor, resync: false, event: Some(event) });
        }
        Ok(changes)
    }

    /// Gives the last of `changes` the cursor `position`. To be called when they complete everything up to it.
    pub(super) fn complete(&self, changes: &mut [Change<F::Record>], position: &Position) {
        if let (None, Some(last)) = (&self.subject, changes.last_mut()) {
            last.cursor = Cursor::At(position.clone());
        }
    }
}

/// What was made of some events; `None` if this build cannot decode one of them. Then the stream sends the present state
/// again, which contains what that event said.
pub(super) fn readable<T>(made: Result<T>) -> Result<Option<T>> {
    match made {
        Err(error) if event::is_unreadable(&error) => Ok(None),
        made => made.map(Some),
    }
}

/// The version that a stream of one subject has reached with `state`.
fn newest<R>(state: &[Versioned<R>]) -> i32 {
    state.iter().map(|row| row.version).max().unwrap_or(0)
}
