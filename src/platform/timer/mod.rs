//! Durable timers: effects at a later time, also if every server is down when they come due.
//!
//! A timer is a row, one for each (company, subject, purpose); setting it again replaces it. A unit of work sets and
//! clears it in the transaction that changes the subject, by [`Record::timers`](crate::platform::unit::Record::timers).
//! SQL callers set timers with the function `switchboard.set_timer`. One scheduler in each process fires what is due:
//!
//! ```text
//! list due timers, no locks ──► one transaction for many of one company and purpose:
//!    claim the timers ──► lock the subjects ──► still set, same token, due? ──► delete, effect, commit
//!    (skip: another      (skip: come back)
//!     server has them)
//! ```
//!
//! # Guarantees
//! - Never early: the due time is compared with the database's clock, read under the subject's lock.
//! - Exactly once: the timer is deleted in the transaction that has its effect.
//! - No deadlock: the subject is locked before its timer's row, as every writer of the subject does.
//! - Nobody waits for anybody. A timer that another server has claimed, or whose subject is locked, is skipped. The others
//!   fire, and the scheduler comes back to it after a pause of milliseconds.
//! - A scheduler lists only the purposes that its build handles. During a deployment the older servers leave the timers of
//!   newer purposes to the newer servers.
//!
//! # Failure modes
//! - An effect fails: its transaction is repeated with half of its timers at a time, until the one that fails is alone. It
//!   is put off by 1 s, and by twice as much at each failure, at most 5 min. A deadlock or a serialization failure is
//!   repeated whole before anything is put off.
//! - The link to the database freezes: the scheduler has connections of its own, each with a deadline. `/ready` is 503
//!   while its last look is too old.

mod handler;
pub mod listener;
pub mod scheduler;
mod sql;

use std::sync::{Arc, Mutex, PoisonError};

use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::Uuid;

pub use handler::{Handler, HandlerRef, Tried, handler};
pub use sql::set;

use crate::platform::{event::Subject, task::LastLook};

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
    /// The earliest time of the effect.
    due_at: OffsetDateTime,
    /// Changes at each setting: another token means that the timer was set again since.
    token: Uuid,
    /// Failures since it was set.
    attempts: i32,
}

/// What timers that fire in one transaction share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Group {
    company_id: Uuid,
    subject_type: &'static str,
    purpose: &'static str,
}

#[derive(Debug, Default)]
struct Sleep {
    /// Database time until which this process's scheduler means to sleep; `None` while it works.
    until: Mutex<Option<OffsetDateTime>>,
    woken: Notify,
    last_look: LastLook,
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

    /// When this process's scheduler last looked for due timers; for `/ready`.
    pub fn last_look(&self) -> &LastLook {
        &self.0.last_look
    }

    fn sleeping_until(&self, until: Option<OffsetDateTime>) {
        *self.0.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Makes the scheduler look at once: somebody else has set a timer, or moved the database's clock.
    pub fn wake(&self) {
        self.0.woken.notify_one();
    }
}
