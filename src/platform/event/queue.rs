//! A subscription's queue: where the hub puts its events. Bounded.
//!
//! ```text
//! hub ── push ──► [ delivery │ delivery │ … ] ── recv ──► subscription
//!          full: drop it, note the position before it ──► after the last delivery: Lagged(position)
//! hub ── lag: the read is too large for memory ─────────► the same
//!          request_resync: drop everything            ──► Resync
//! ```
//!
//! So a slow subscription costs bounded memory and loses nothing: after [`Received::Lagged`] it reads the log again
//! from the noted position. The queue accepts events again from the moment that `Lagged` is returned, which is before
//! the subscription reads the log; so every event is in what it reads, in the queue, or in both.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{Event, Position};

/// The events of one read of the log that one queue gets. Shared by all queues that get the same ones.
#[derive(Debug)]
pub struct Delivery {
    /// In the order of the read.
    pub events: Vec<Arc<Event>>,
    /// The read that found them.
    pub read: Arc<Read>,
}

/// The bounds of one read of the log: it found every event that `after` contains and `before` does not.
#[derive(Debug)]
pub struct Read {
    /// The reader's position before the read.
    pub before: Position,
    /// The reader's position after the read.
    pub after: Position,
}

/// What [`EventQueue::recv`] returns.
#[derive(Debug)]
pub enum Received {
    /// Events of one read, after all those of earlier deliveries.
    Delivery(Arc<Delivery>),
    /// Events were dropped because the queue was full, or their read was too large for memory. Every event of this position was in the queue before, so read
    /// the log again from here.
    Lagged(Position),
    /// The log has a gap or another history, so only the present state can be sent.
    Resync,
}

#[derive(Debug, Default)]
struct Contents {
    deliveries: VecDeque<Arc<Delivery>>,
    /// The sum over `deliveries`.
    events: usize,
    /// Set while the queue drops what comes because it was full.
    lagged: Option<Position>,
    resync: bool,
}

/// The queue between the hub and one subscription. Holds at most `capacity` events, or one larger delivery.
#[derive(Debug)]
pub struct EventQueue {
    capacity: usize,
    contents: Mutex<Contents>,
    filled: Notify,
}

impl EventQueue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, contents: Mutex::default(), filled: Notify::new() }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // No code panics between two changes that belong together, so a poisoned lock still guards whole contents.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, delivery: Arc<Delivery>) {
        let mut contents = self.contents();
        if contents.lagged.is_some() || contents.resync {
            return;
        }
        // An empty queue accepts a delivery of any size: its events are in memory already.
        if contents.events > 0 && contents.events + delivery.events.len() > self.capacity {
            contents.lagged = Some(delivery.read.before.clone());
            metrics::counter!("switchboard_subscription_lags_total").increment(1);
        } else {
            contents.events += delivery.events.len();
            contents.deliveries.push_back(delivery);
        }
        drop(contents);
        self.filled.notify_one();
    }

    /// After what waits: the subscription reads the log itself, from `before`, the reader's position before a read that
    /// is too large for memory.
    pub(super) fn lag(&self, before: &Position) {
        let mut contents = self.contents();
        if contents.lagged.is_some() || contents.resync {
            return;
        }
        contents.lagged = Some(before.clone());
        metrics::counter!("switchboard_subscription_lags_total").increment(1);
        drop(contents);
        self.filled.notify_one();
    }

    /// Replaces everything that waits by a [`Received::Resync`].
    pub(super) fn request_resync(&self) {
        let mut contents = self.contents();
        *contents = Contents { resync: true, ..Contents::default() };
        drop(contents);
        self.filled.notify_one();
    }

    fn pop(&self) -> Option<Received> {
        let mut contents = self.contents();
        if contents.resync {
            *contents = Contents::default();
            return Some(Received::Resync);
        }
        if let Some(delivery) = contents.deliveries.pop_front() {
            contents.events -= delivery.events.len();
            return Some(Received::Delivery(delivery));
        }
        // Taken before the caller reads the log, so that events of later reads enter the queue again.
        contents.lagged.take().map(Received::Lagged)
    }

    /// Removes all waiting deliveries and returns them in order. A lag or resync stays for [`EventQueue::recv`].
    pub fn drain(&self) -> Vec<Arc<Delivery>> {
        let mut contents = self.contents();
        contents.events = 0;
        contents.deliveries.drain(..).collect()
    }

    /// Waits for the next delivery, lag or resync. Cancel-safe: nothing is removed unless it is returned. For one
    /// consumer.
    pub async fn recv(&self) -> Received {
        loop {
            if let Some(received) = self.pop() {
                return received;
            }
            self.filled.notified().await;
        }
    }
}
