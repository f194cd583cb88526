//! What a subscription reads from the database, and the messages that it makes of state and events.
//!
//! Every read is one short transaction, whole in memory before the first message is sent. So no connection waits for a
//! slow client.

use std::{borrow::Cow, sync::Arc};

use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use tokio::time::timeout;

use super::{
    Change, ChangeOperation, Feed, Sources, Versioned,
    catch_up::CatchUp,
    listing::{Ahead, Rest},
};
use crate::platform::{
    error::{Error, Result},
    event::{
        self, Cursor, Event, LogRange, Position, RangeScope, Resumed, SubjectName,
        hub::{Delivery, Read},
    },
};

/// Messages to send, and what follows them.
pub(super) struct Batch<R> {
    pub(super) changes: Vec<Change<R>>,
    pub(super) next: Next<R>,
    /// Records among `changes` that are newer than the state's position.
    pub(super) ahead: Ahead,
    /// The messages begin the present state, so that all that was sent before is replaced.
    pub(super) restarts: bool,
}

impl<R> Batch<R> {
    /// Messages that go on where the ones before ended.
    pub(super) fn going_on(changes: Vec<Change<R>>, next: Next<R>) -> Self {
        Self { changes, next, ahead: Ahead::default(), restarts: false }
    }
}

/// What a stream does after it has sent a batch.
pub(super) enum Next<R> {
    /// Receive from the queue. Events that the position contains were sent already, or are part of the state that was
    /// sent.
    Listen(Position),
    /// Read more of the log first.
    CatchUp(Box<CatchUp<R>>),
    /// Read more of the present state first.
    Load(Box<Rest>),
}

/// The reads of one subscription; holds no connection between them.
pub(super) struct Driver<F> {
    pub(super) sources: Sources,
    pub(super) feed: Arc<F>,
    /// How cursors name the feed's subject; `None` for a feed of many subjects.
    pub(super) subject: Option<SubjectName>,
    /// The stream leaves out SNAPSHOT and READY.
    pub(super) changes_only: bool,
}

/// Begins a transaction in which the state, the log and the position agree. Partitions of the log stay until it ends.
pub(super) async fn consistent_read(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>> {
    let mut transaction = connection.begin_with("begin isolation level repeatable read read only").await?;
    event::hold_log(&mut transaction).await?;
    Ok(transaction)
}

impl<F: Feed> Driver<F> {
    /// Reads the present state: SNAPSHOT for each record, then READY.
    pub(super) async fn snapshot(&self, resync: bool) -> Result<Batch<F::Record>> {
        let mut reading = self.sources.gate.enter(&self.sources.pool).await?;
        let read = async {
            let mut transaction = consistent_read(&mut reading.connection).await?;
            let (position, _) = event::position_now(&mut transaction).await?;
            let batch = self.snapshot_at(&mut transaction, position, resync).await?;
            transaction.commit().await?;
            Ok(batch)
        };
        let outcome = timeout(reading.deadline, read).await;
        reading.finish(outcome)
    }

    /// Reads the present state in the transaction that read `position`.
    pub(super) async fn snapshot_at(
        &self,
        connection: &mut PgConnection,
        position: Position,
        resync: bool,
    ) -> Result<Batch<F::Record>> {
        if let Some(listing) = self.feed.listing(connection).await? {
            return self.load_page(connection, &Rest::all(listing, position, resync)).await;
        }
        let state = self.feed.snapshot(connection).await?;
        Ok(self.state_as_batch(state, position, resync))
    }

    /// Reads the records that a stream of changes only begins with.
    pub(super) async fn first(&self) -> Result<Batch<F::Record>> {
        let mut reading = self.sources.gate.enter(&self.sources.pool).await?;
        let read = async {
            let mut transaction = consistent_read(&mut reading.connection).await?;
            let (position, _) = event::position_now(&mut transaction).await?;
            let records = self.feed.first(&mut transaction).await?;
            let present = match &self.subject {
                Some(_) => self.feed.present_version(&mut transaction).await?,
                None => 0,
            };
            transaction.commit().await?;
            Ok((records, position, present))
        };
        let outcome = timeout(reading.deadline, read).await;
        let (records, position, present) = reading.finish(outcome)?;
        let mut changes = Vec::from_iter(records.into_iter().map(|record| Change {
            operation: ChangeOperation::Update,
            record: Some(record),
            cursor: Cursor::At(position.clone()),
            resync: false,
            event: None,
            since: None,
        }));
        changes.push(Change::ready(self.complete_cursor(&position, present), false));
        Ok(Batch::going_on(changes, Next::Listen(position)))
    }

    pub(super) fn state_as_batch(
        &self,
        state: Vec<Versioned<F::Record>>,
        position: Position,
        resync: bool,
    ) -> Batch<F::Record> {
        let newest = newest(&state);
        let changes = self.state_as_changes(state, &position, resync, Some(newest));
        Batch { changes, next: Next::Listen(position), ahead: Ahead::default(), restarts: true }
    }

    /// The messages of a part of the state, which was read at `position`. `complete_at` is the newest version in all of
    /// the state; `None` if more parts follow.
    pub(super) fn state_as_changes(
        &self,
        part: Vec<Versioned<F::Record>>,
        position: &Position,
        resync: bool,
        complete_at: Option<i32>,
    ) -> Vec<Change<F::Record>> {
        let complete = complete_at.map(|newest| self.complete_cursor(position, newest));
        let last = part.len().saturating_sub(1);
        let operation = if self.changes_only { ChangeOperation::Update } else { ChangeOperation::Snapshot };
        let snapshot = part.into_iter().enumerate().map(|(index, Versioned { record, version })| {
            let cursor = match (&self.subject, &complete) {
                (Some(subject), _) => subject.cursor(position, version),
                (None, Some(complete)) if index == last => complete.clone(),
                // No position describes a client that drops here with part of the state.
                (None, _) => Cursor::Restart,
            };
            Change { operation, record: Some(record), cursor, resync, event: None, since: None }
        });
        let mut changes: Vec<_> = snapshot.collect();
        if !self.changes_only {
            changes.extend(complete.map(|cursor| Change::ready(cursor, resync)));
        }
        changes
    }

    /// The cursor of a client that has received everything that `position` contains; `newest` is the version of a stream
    /// of one subject.
    pub(super) fn complete_cursor(&self, position: &Position, newest: i32) -> Cursor {
        match &self.subject {
            Some(subject) => subject.cursor(position, newest),
            None => Cursor::At(position.clone()),
        }
    }

    /// Reads every change since `cursor`, then READY; or the present state, marked as a resync, where the log does not
    /// reach back to the cursor.
    pub(super) async fn resume(&self, cursor: &Cursor) -> Result<Batch<F::Record>> {
        let mut reading = self.sources.gate.enter(&self.sources.pool).await?;
        let outcome = timeout(reading.deadline, self.resume_on(&mut reading.connection, cursor)).await;
        reading.finish(outcome)
    }

    async fn resume_on(&self, connection: &mut PgConnection, cursor: &Cursor) -> Result<Batch<F::Record>> {
        let mut transaction = consistent_read(connection).await?;
        let (position, floor) = event::position_now(&mut transaction).await?;
        let cursor = &cursor.resumable(&mut transaction, &position, floor).await?;
        // A resume of one subject fails if the caller may not see the subject.
        let present = match &self.subject {
            Some(_) => self.feed.present_version(&mut transaction).await?,
            None => 0,
        };
        let batch = match (cursor, &self.subject) {
            (Cursor::Restart | Cursor::Sealed(_), _) => self.snapshot_at(&mut transaction, position, true).await?,
            (Cursor::At(since), _) => {
                let so_far = CatchUp::resuming(since.clone(), present);
                self.page_at(&mut transaction, &so_far, position, floor).await?
            }
            (Cursor::Subject { subject: named, version, .. }, Some(subject)) if subject.is(named) => {
                let changes = match self.resume_subject(&mut transaction, *version, present).await? {
                    Resumed::Events(events) => {
                        readable(self.project(events.into_iter().map(Arc::new), &position, &position))?
                    }
                    Resumed::Gap => None,
                };
                if let Some(mut changes) = changes {
                    changes.push(Change::ready(subject.cursor(&position, present), false));
                    Batch::going_on(changes, Next::Listen(position))
                } else {
                    self.snapshot_at(&mut transaction, position, true).await?
                }
            }
            (Cursor::Subject { .. }, _) => return Err(Error::invalid("after", "this cursor is of another stream")),
        };
        transaction.commit().await?;
        Ok(batch)
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
            scope: RangeScope::of(&self.feed.interests()),
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
            changes.push(Change {
                operation,
                record: Some(record),
                cursor,
                resync: false,
                event: Some(event),
                since: None,
            });
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
pub(super) fn newest<R>(state: &[Versioned<R>]) -> i32 {
    state.iter().map(|row| row.version).max().unwrap_or(0)
}
