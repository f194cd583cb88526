//! Streams that conflate: a reader that keeps up is told every change, a slow one the newest state.
//!
//! ```text
//! several changes wait           ──► the last of them          (INSERT, UPDATE or DELETE)
//! mailbox overflowed, log has a  ──► the state as it is now    (SNAPSHOT … READY, or DELETE)
//! gap or another history
//! ```
//!
//! The state is whole, so none of this is a resync. Versions rise, and what is told last is the present state, also
//! where that is "not for you any more": of the changes that wait, those that are not for the reader before and after
//! are none at all, so the last one that is says how its view stands; and a subject that has left its view when the
//! state is read is a DELETE, not the stream's end.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Change, ChangeOperation, Feed, Versioned,
    driver::{Batch, Driver, Next},
};
use crate::platform::{
    error::{Code, Result},
    event::{self, Cursor, Event, Interest, Position, Subject, hub::Delivery},
};

/// A feed of one subject, told to a slow reader by its newest state only. For records that are whole each time, so that
/// no one of them is missed once a newer is there.
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

    fn conflates(&self) -> bool {
        true
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        self.0.project(event)
    }
}

/// What a reader was told last, so that it is not told again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum LastSent {
    /// Nothing yet.
    #[default]
    Nothing,
    /// The record at the version that the cursor names.
    Record(Cursor),
    /// That it does not see the record any more.
    Deleted,
}

impl LastSent {
    pub(super) fn note<R>(&mut self, change: &Change<R>) {
        *self = Self::by(change);
    }

    fn by<R>(change: &Change<R>) -> Self {
        match change.operation {
            ChangeOperation::Delete => Self::Deleted,
            _ => Self::Record(change.cursor.clone()),
        }
    }
}

impl<F: Feed> Driver<F> {
    /// The last change in `first` and in what was `waiting` behind it, as seen from what the reader was `told`.
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

    /// The present state in place of changes that are not there to be told, unless it was `told` already.
    pub(super) async fn overtaken(&self, last_sent: &LastSent) -> Result<Batch<F::Record>> {
        let mut transaction = self.consistent_read().await?;
        let (position, _) = event::position_now(&mut transaction).await?;
        let mut batch = match self.feed.snapshot(&mut transaction).await {
            Ok(state) => self.state_as_batch(state, position, false),
            Err(error) if error.code() == Code::NotFound => {
                // No version of it is known, so a resume begins anew.
                let (operation, cursor) = (ChangeOperation::Delete, Cursor::Restart);
                let gone = Change { operation, record: None, cursor, resync: false, event: None };
                Batch { changes: vec![gone], next: Next::Listen(position) }
            }
            Err(error) => return Err(error),
        };
        transaction.commit().await?;
        batch.changes.retain(|change| LastSent::by(change) != *last_sent);
        Ok(batch)
    }
}
