//! Time and ids as the services see them, so that tests can move the one and fix the other.
//!
//! Two clocks, never mixed: deadlines that several servers must agree on (timers, leases, `missAt`)
//! use the database's `switchboard.now()`; a [`Clock`] serves what one server decides alone,
//! such as whether a token has expired.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use time::{Duration, OffsetDateTime};
use tokio::sync::Notify;
use uuid::Uuid;

/// Longest sleep before the time is looked at again: the runtime's timers stand still while a machine is suspended.
const LONGEST_SLEEP: Duration = Duration::seconds(30);

/// This server's clock. Clones share the offset that tests set.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
    moved: Arc<Notify>,
}

impl Clock {
    /// The present, in UTC.
    pub fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + Duration::milliseconds(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Moves the clock; for tests.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.whole_milliseconds()).unwrap_or(i64::MAX);
        self.offset_ms.fetch_add(by, Ordering::Relaxed);
        self.moved.notify_waiters();
    }

    /// Returns at `at`, never earlier; also when the clock is moved there.
    pub async fn sleep_until(&self, at: OffsetDateTime) {
        loop {
            // Registered before the time is read, so that a move in between is not missed.
            let moved = self.moved.notified();
            let left = at - self.now();
            if !left.is_positive() {
                return;
            }
            // A whole millisecond at least: the timer's resolution.
            let nap = left.clamp(Duration::MILLISECOND, LONGEST_SLEEP).unsigned_abs();
            let _ = tokio::time::timeout(nap, moved).await;
        }
    }
}

/// A new id. Version 7: time-ordered, so that an index grows at one end, with 74 random bits,
/// so that an id cannot be guessed.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}
