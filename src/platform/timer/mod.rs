//! Durable timers: effects at a later time, also if every server is down when they come due.
//!
//! A timer is a row, one for each (company, subject, purpose); setting it again replaces it. A unit of work sets and
//! clears it in the transaction that changes the subject, by [`Record::timers`](crate::platform::unit::Record::timers).
//! One scheduler in each process fires what is due:
//!
//! ```text
//! list due timers, no locks ──► one transaction for some of one purpose:
//!    lock the subjects ──► lock the timers ──► still set, same token, due? ──► delete, effect, commit
//! ```
//!
//! The subject is locked before its timer, because every writer of the subject holds its lock when it touches its
//! timers: the other order would deadlock. Several servers may try the same timer; the lock lets one through, and the
//! others find it gone. A timer never fires early, because its due time is compared with the database's clock under the
//! lock. A failing effect is tried again with growing pauses and does not delay the others.

mod handler;
pub mod scheduler;
mod sql;

use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::Uuid;

pub use handler::{Handler, HandlerRef, handler};
pub use sql::set;

use crate::platform::event::Subject;

/// A timer about to be set.
#[derive(Debug, Clone)]
pub struct NewTimer {
    /// The tenant; the subject's.
    pub company_id: Uuid,
    /// The subject that the effect changes.
    pub subject: Subject,
    /// The effect's name, unique among those of the subject's type.
    pub purpose: &'static str,
    /// The earliest time of the effect, by the database's clock.
    pub due_at: OffsetDateTime,
}

/// Names a timer about to be cleared.
#[derive(Debug, Clone)]
pub struct TimerKey {
    /// The tenant; the subject's.
    pub company_id: Uuid,
    /// The subject that the effect would have changed.
    pub subject: Subject,
    /// The effect's name.
    pub purpose: &'static str,
}

/// A timer that was seen due.
#[derive(Debug, Clone)]
pub struct Timer {
    /// The tenant; the subject's.
    pub company_id: Uuid,
    /// The type of the subject that the effect changes.
    pub subject_type: String,
    /// Which subject of its type.
    pub subject_id: String,
    /// The effect's name.
    pub purpose: String,
    /// Changes at each setting: another token means that the timer was set again since.
    token: Uuid,
}

#[derive(Debug, Default)]
struct Sleep {
    /// Database time until which this process's scheduler means to sleep; `None` while it works.
    until: Mutex<Option<OffsetDateTime>>,
    woken: Notify,
}

/// Wakes this process's scheduler for an earlier timer. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TimerWaker(Arc<Sleep>);

impl TimerWaker {
    /// A timer for `due_at` was set, and the setting is committed.
    pub fn wake_for(&self, due_at: OffsetDateTime) {
        let until = *self.0.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.is_none_or(|until| due_at < until) {
            self.0.woken.notify_one();
        }
    }

    fn sleeping_until(&self, until: Option<OffsetDateTime>) {
        *self.0.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Makes the scheduler look at once; for tests that moved the database's clock.
    pub fn wake(&self) {
        self.0.woken.notify_one();
    }
}
