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
use uuid::Uuid;

/// This server's clock. Clones share the offset that tests set.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_ms: Arc<AtomicI64>,
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
    }
}

/// A new id. Version 7: time-ordered, so that an index grows at one end, with 74 random bits,
/// so that an id cannot be guessed.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}
