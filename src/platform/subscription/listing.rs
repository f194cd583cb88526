//! Large snapshots, in pages: the first transaction lists ids and versions, later ones read the records.
//!
//! ```text
//! one transaction: position S, [(id, version), …], the first page     ──► SNAPSHOT …
//! a transaction a page, when the client has taken the one before:     ──► SNAPSHOT … READY
//!                    then every event that S does not contain
//! ```
//! So memory holds the list (20 bytes a record) and one page, and no connection is held while the client reads.
//!
//! A record may have changed between the list and its page. It is then sent as it is now, or left out if the client is not
//! shown it any more. Its events up to that version are not sent: they are part of what was sent ([`Ahead`]). Events of
//! all other records follow as after any snapshot.

use std::{collections::HashMap, fmt::Display, sync::Arc};

use sqlx::PgConnection;
use tokio::time::timeout;
use uuid::Uuid;

use super::{
    Feed, Versioned,
    driver::{Batch, Driver, Next},
};
use crate::platform::{
    error::Result,
    event::{Event, Position},
};

/// Most records of one page, which is what a stream holds of a snapshot. A larger page saves few round trips.
pub(super) const PAGE: usize = 250;

/// The records of a snapshot, in the order in which they are sent.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The type of the records' subjects.
    pub subject_type: &'static str,
    /// Each record's id, which is its subject's, and the version of its subject.
    pub rows: Vec<(Uuid, i32)>,
}

/// A record of a [`Listing`], as it is when its page is read.
#[derive(Debug, Clone)]
pub struct Loaded<R> {
    /// The id in the listing.
    pub id: Uuid,
    /// The version of its subject; of a record that never changes 0, and then that of the listing counts.
    pub version: i32,
    /// The record; `None` if the client is not shown it any more.
    pub record: Option<R>,
}

/// The rest of a snapshot that is sent in pages.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    listing: Arc<Listing>,
    /// How many rows of the listing were read.
    done: usize,
    position: Position,
    resync: bool,
}

impl Rest {
    /// All of the listing, which was read at `position`.
    pub(super) fn all(listing: Listing, position: Position, resync: bool) -> Self {
        Self { listing: Arc::new(listing), done: 0, position, resync }
    }
}

/// Names a subject among those of all types.
fn name(subject_type: &str, id: impl Display) -> String {
    format!("{subject_type}:{id}")
}

/// Subjects whose records were sent at a later version than the snapshot's position has.
#[derive(Debug, Default)]
pub(super) struct Ahead(HashMap<String, i32>);

impl Ahead {
    /// True if `event` is part of what the snapshot has sent.
    pub(super) fn contains(&mut self, event: &Event) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let subject = name(&event.subject_type, &event.subject_id);
        let Some(&sent) = self.0.get(&subject) else { return false };
        if event.version >= sent {
            self.0.remove(&subject);
        }
        event.version <= sent
    }

    /// Takes what a batch has sent. A batch that begins a snapshot replaces all that was sent before.
    pub(super) fn take<R>(&mut self, batch: &mut Batch<R>) {
        if batch.restarts {
            self.0.clear();
        }
        self.0.extend(std::mem::take(&mut batch.ahead.0));
    }
}

impl<F: Feed> Driver<F> {
    /// The next page of a listed snapshot.
    pub(super) async fn next_page(&self, rest: &Rest) -> Result<Batch<F::Record>> {
        let mut reading = self.sources.gate.enter(&self.sources.pool).await?;
        let outcome = timeout(reading.deadline, self.load_page(&mut reading.connection, rest)).await;
        reading.finish(outcome)
    }

    /// The first records of `rest`.
    pub(super) async fn load_page(&self, connection: &mut PgConnection, rest: &Rest) -> Result<Batch<F::Record>> {
        let Rest { listing, done, position, resync } = rest;
        let end = listing.rows.len().min(done + PAGE);
        let listed = &listing.rows[*done..end];
        let ids: Vec<Uuid> = listed.iter().map(|(id, _)| *id).collect();
        let loaded = self.feed.load(connection, &ids).await?;
        let mut loaded: HashMap<Uuid, Loaded<F::Record>> = loaded.into_iter().map(|row| (row.id, row)).collect();
        let mut ahead = Ahead::default();
        let mut state = Vec::with_capacity(listed.len());
        for (id, listed_version) in listed {
            let Some(Loaded { version, record, .. }) = loaded.remove(id) else { continue };
            if version > *listed_version {
                ahead.0.insert(name(listing.subject_type, id), version);
            }
            let version = version.max(*listed_version);
            state.extend(record.map(|record| Versioned { record, version }));
        }
        let is_last = end == listing.rows.len();
        let newest = listing.rows.iter().map(|(_, version)| *version).max().unwrap_or(0);
        let changes = self.state_as_changes(state, position, *resync, is_last.then_some(newest));
        let next = if is_last {
            Next::Listen(position.clone())
        } else {
            Next::Load(Box::new(Rest { done: end, ..rest.clone() }))
        };
        Ok(Batch { changes, next, ahead, restarts: *done == 0 })
    }
}
