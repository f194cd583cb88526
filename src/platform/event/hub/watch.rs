//! Waiting for something to happen to a subject, or for a deadline, without a connection and without events in memory.
//!
//! ```text
//! watch ─► read the state ─► not yet what is waited for ─► changed_before(deadline) ─┬─ true ──► read the state again
//!                                                                                    └─ false ─► give up
//! ```
//! The watch begins before the state is read. So a change that is committed after that read is told, by a commit on this
//! server within the time that a read of the log takes, and by one on another server when its wake-up arrives.
//!
//! A watch is told that there was an event and not which one, and sometimes when there was none: after the log was read
//! anew. While the database is away it is told nothing. So whoever waits reads the state again after each wake-up and at
//! the deadline, and decides on that alone.

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::Registration;

/// Counts what happened.
#[derive(Debug, Default)]
pub(super) struct Signal(watch::Sender<u64>);

impl Signal {
    pub(super) fn raise(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}

/// Tells when something happened to the subjects of some interests. Ends when dropped.
#[derive(Debug)]
pub struct Watch {
    _registration: Registration,
    count: watch::Receiver<u64>,
}

impl Watch {
    pub(super) fn new(registration: Registration, signal: &Signal) -> Self {
        Self { _registration: registration, count: signal.0.subscribe() }
    }

    /// Waits for an event since the watch began, or since this last returned. Cancel-safe.
    pub async fn changed(&mut self) {
        if self.count.changed().await.is_err() {
            // The sender is in the hub as long as the registration, which is here.
            std::future::pending::<()>().await;
        }
    }

    /// Waits as [`Watch::changed`], until `deadline` at most; false if it passed first.
    pub async fn changed_before(&mut self, deadline: Instant) -> bool {
        timeout_at(deadline, self.changed()).await.is_ok()
    }

    /// How often something happened, for several that wait on one watch.
    pub(crate) fn count(&self) -> watch::Receiver<u64> {
        self.count.clone()
    }
}
