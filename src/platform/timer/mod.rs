//! Durable timers: what is to happen to a subject at a time, even if every server is down when it comes due.
//!
//! A timer is a row, one for each (company, subject, purpose); setting it again replaces it. It is set and cleared
//! in the transaction that makes it needful or needless. One scheduler in each process fires what is due:
//!
//! ```text
//! list due keys, no locks ──► for each, one transaction:
//!    lock the subject ──► lock the timer ──► still there, same token, due? ──► effect, delete, commit
//! ```
//!
//! The subject first, then the timer: whoever changes the subject holds its lock before touching its timers, so
//! the other order would deadlock. Several servers may try the same timer; the lock lets one through and the
//! others find it gone. Never early, because the due time is compared with the database's clock under the lock.
//! A failing effect is retried with growing pauses; it never stops the others.

pub mod scheduler;
mod sql;

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::Uuid;

pub use sql::{clear, set};

use crate::platform::{error::Result, event::Subject};

/// A timer about to be set.
#[derive(Debug, Clone)]
pub struct NewTimer {
    /// The tenant.
    pub company_id: Uuid,
    /// What it is about.
    pub subject: Subject,
    /// What is to happen.
    pub purpose: &'static str,
    /// When, in database time.
    pub due_at: OffsetDateTime,
}

/// A timer that was seen due.
#[derive(Debug, Clone)]
pub struct Timer {
    /// The tenant.
    pub company_id: Uuid,
    /// What kind of subject it is about.
    pub subject_type: String,
    /// Which one.
    pub subject_id: String,
    /// What is to happen.
    pub purpose: String,
    /// The setting that was seen; another one means it was set again since.
    token: Uuid,
}

/// What a concept does when its timers come due.
pub trait Handler: Send + Sync + 'static {
    /// The kind of subject and the purpose that this handles.
    fn handles(&self) -> (&'static str, &'static str);

    /// Locks the subject, and its parents before it, as the concept's other writers do.
    fn lock<'a>(&'a self, connection: &'a mut PgConnection, timer: &'a Timer) -> BoxFuture<'a, Result<()>>;

    /// Has the effect, in the same transaction, with the subject locked. Finding it needless is no error.
    fn fire<'a>(&'a self, connection: &'a mut PgConnection, timer: &'a Timer) -> BoxFuture<'a, Result<()>>;
}

#[derive(Debug, Default)]
struct Sleep {
    /// Database time until which this process's scheduler means to sleep; `None` while it works.
    until: Mutex<Option<OffsetDateTime>>,
    woken: Notify,
}

/// Wakes this process's scheduler for an earlier timer. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Alarm(Arc<Sleep>);

impl Alarm {
    /// A timer for `due_at` has been set, and the setting is committed.
    pub fn set(&self, due_at: OffsetDateTime) {
        let until = *self.0.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.is_none_or(|until| due_at < until) {
            self.0.woken.notify_one();
        }
    }

    fn sleeping_until(&self, until: Option<OffsetDateTime>) {
        *self.0.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Makes the scheduler look at once; for tests that moved the database's clock.
    pub fn look(&self) {
        self.0.woken.notify_one();
    }
}
