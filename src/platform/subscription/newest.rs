//! Streams that conflate: a client that keeps up receives every change, a slow one the newest state.
//!
//! ```text
//! several changes wait           ──► the last of them          (INSERT, UPDATE or DELETE)
//! queue overflowed, log has a    ──► the state as it is now    (SNAPSHOT … READY, or DELETE)
//! gap or another history
//! ```
//!
//! Each record is the whole state, so a skipped one is no loss and none of this is a resync. Versions rise, and the
//! last message always shows the present state, also where that is "no longer visible to this client":
//!
//! - Of the changes that wait, those that the client may see neither before nor after mean nothing to it. The last of
//!   the others is how its view stands.
//! - A subject that has left the client's view by the time that the state is read is a DELETE. It does not end the
//!   stream.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    Change, ChangeOperation, Feed, Versioned,
    driver::{Batch, Driver, Next, consistent_read},
};
use crate::platform::{
    error::{Code, Result},
    event::{self, Cursor, Event, Interest, Position, Subject, hub::Delivery},
};

/// A feed of one subject that sends a slow client only the newest state. Each record must be the whole state, so that a
/// newer one replaces all before it.
#[derive(Debug, Clone)]
pub struct Newest<F>(pub F);

impl<F: Feed> Feed for Newest<F> {
    type Record = F::Record;

    fn company_id(&self) -> Uuid {
        self.0.company_id()
    }

    fn interests(&self) -> Vec<Interest> {
        self.0.interests()
    }

    fn subject(&self) -> Option<Subject> {
        self.0.subject()
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        self.0.snapshot(connection)
    }

    fn first<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Self::Record>>> {
        self.0.first(connection)
    }

    fn present_version<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<i32>> {
        self.0.present_version(connection)
    }

    fn conflates(&self) -> bool {
        true
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        self.0.project(event)
    }
}

/// The last message that the client received, so that it is not repeated.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum LastSent {
    /// No message, or none that still means anything.
    #[default]
    Nothing,
    /// The record, at the version in the cursor; the cursor of a part of a snapshot has none.
    Record(Option<i32>),
    /// The DELETE of the record, whatever its version: a second one would tell the client nothing.
    Deleted,
}

impl LastSent {
    pub(super) fn record<R>(&mut self, change: &Change<R>) {
        *self = Self::of(change);
    }

    fn of<R>(change: &Change<R>) -> Self {
        match change.operation {
            ChangeOperation::Delete => Self::Deleted,
            _ => Self::Record(change.cursor.version()),
        }
    }
}

impl<F: Feed> Driver<F> {
    /// The last change in `first` and in the deliveries that were `waiting` after it, if the client does not know it
    /// yet. Its operation fits what was sent last: after a DELETE the next change is an INSERT.
    pub(super) fn newest(
        &self,
        first: &Delivery,
        waiting: &[Arc<Delivery>],
        base: &Position,
        last_sent: &LastSent,
    ) -> Result<Option<Change<F::Record>>> {
        let mut newest = None;
        for delivery in std::iter::once(first).chain(waiting.iter().map(Arc::as_ref)) {
            newest = self.delivered(delivery, base)?.pop().or(newest);
        }
        Ok(newest.and_then(|change| {
            let operation = match (last_sent, change.operation) {
                (LastSent::Deleted, ChangeOperation::Delete) => return None,
                (LastSent::Deleted, ChangeOperation::Update) => ChangeOperation::Insert,
                (LastSent::Record(_), ChangeOperation::Insert) => ChangeOperation::Update,
                (_, operation) => operation,
            };
            Some(Change { operation, ..change })
        }))
    }

    /// Reads the present state, in place of changes that were dropped from the queue or the log: its SNAPSHOT, or DELETE
    /// if the client may no longer see it. Empty if that was sent last.
    pub(super) async fn snapshot_or_delete(&self, last_sent: &LastSent) -> Result<Batch<F::Record>> {
        let mut reading = self.sources.gate.enter(&self.sources.pool).await?;
        let read = async {
            let mut transaction = consistent_read(&mut reading.connection).await?;
            let (position, _) = event::position_now(&mut transaction).await?;
            let batch = match self.feed.snapshot(&mut transaction).await {
                Ok(state) => self.state_as_batch(state, position, false),
                Err(error) if error.code() == Code::NotFound => {
                    // The subject's version is not visible either, so a resume must begin with the state.
                    let (operation, cursor) = (ChangeOperation::Delete, Cursor::Restart);
                    let gone = Change { operation, record: None, cursor, resync: false, event: None, since: None };
                    Batch::going_on(vec![gone], Next::Listen(position))
                }
                Err(error) => return Err(error),
            };
            transaction.commit().await?;
            Ok(batch)
        };
        let outcome = timeout(reading.deadline, read).await;
        let mut batch = reading.finish(outcome)?;
        batch.changes.retain(|change| LastSent::of(change) != *last_sent);
        Ok(batch)
    }
}
