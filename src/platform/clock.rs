//! The server's clock, which tests can move, and new ids.
//!
//! There are two clocks, and no value of one is compared with a value of the other. Deadlines that several servers must
//! agree on (timers, leases, `missAt`) use the database's `switchboard.now()`. Decisions of one server, such as whether
//! a token has expired, use its [`Clock`].

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use time::{Duration, OffsetDateTime};
use tokio::sync::Notify;
use uuid::Uuid;

/// Longest sleep before the time is read again: the runtime's timers stop while the machine is suspended.
const LONGEST_SLEEP: Duration = Duration::seconds(30);

/// This server's clock: the system's time plus an offset that tests set. Clones share the offset.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
    moved: Arc<Notify>,
}

impl Clock {
    /// The current time, in UTC.
    pub fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc() + Duration::milliseconds(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Moves the clock, for tests, and wakes every [`Clock::sleep_until`].
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.whole_milliseconds()).unwrap_or(i64::MAX);
        self.offset_ms.fetch_add(by, Ordering::Relaxed);
        self.moved.notify_waiters();
    }

    /// Returns at `at`, or when the clock is moved there; never earlier.
    pub async fn sleep_until(&self, at: OffsetDateTime) {
        loop {
            // Registered before the time is read, so that a move in between is not missed.
            let moved = self.moved.notified();
            let left = at - self.now();
            if !left.is_positive() {
                return;
            }
            // At least a millisecond, the timer's resolution.
            let nap = left.clamp(Duration::MILLISECOND, LONGEST_SLEEP).unsigned_abs();
            let _ = tokio::time::timeout(nap, moved).await;
        }
    }
}

/// A new id, UUID version 7: ordered by time, so that an index grows at one end, with 74 random bits, so that an id
/// cannot be guessed.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}
