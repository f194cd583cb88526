//! The unit of work: one transaction, and everything that must happen with its commit.
//!
//! ```text
//! begin ─► verb: lock, decide, write its own tables ─► timers and events, one statement ─► commit
//!            │                                                                                │
//!            └── unit.record(), unit.count(): collected, not yet written                      ▼
//!                                                     wake the log's readers and the scheduler, count
//! ```
//!
//! Guarantees:
//! - Events are appended last, so that the locks of their subjects are held no longer than needed.
//! - Readers, the scheduler and metrics learn of a change only after its commit. A verb that changed nothing is rolled
//!   back, which saves the flush of a commit.
//! - A serialization failure or a deadlock (SQLSTATE 40001, 40P01) repeats the whole verb, with pauses that grow.
//! - A verb is a value ([`Verb`]), so that it can be repeated. It must not keep anything from one run to the next.
//!
//! No concept begins, commits, wakes or counts by itself.
//!
//! # One statement instead of a transaction
//! A transaction costs round trips: begin, each lock, each write, commit. [`UnitOfWork::run_guarded`] runs a verb
//! without `begin`. Such a verb reads without locks, decides, and writes each subject in one statement that checks the
//! premises of the decision again; it hands the [`Changes`] of its decision to that statement, and reports by
//! [`Unit::changes_written`] those that were really written.
//!
//! # Failure modes
//! If the connection is lost during the commit, nobody knows whether the commit took place. The caller gets
//! `UNAVAILABLE` and nobody is woken; the readers' poll finds the events. A repeat is safe if the verb recognizes it,
//! by an id that the application made or by a key.

mod changes;
mod sql;

use std::{future::Future, time::Duration};

use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::sync::SemaphorePermit;

pub use changes::{Changes, Record};
pub(crate) use sql::ChangeColumns;

use super::{batch::ReaderGate, db::Pools, error::Result, event::LogNotifier, timer::TimerWaker};

/// How many times a verb is run at most, the first time included.
const ATTEMPTS: u32 = 8;

/// A mutation as a value.
pub trait Verb: Sync {
    /// What the caller gets.
    type Outcome: Send;

    /// Locks, decides and writes. Runs again from the start after a deadlock or a serialization failure.
    fn run(&self, unit: &mut Unit<'_>) -> impl Future<Output = Result<Self::Outcome>> + Send;
}

/// One run of a verb.
#[derive(Debug)]
pub struct Unit<'c> {
    connection: &'c mut PgConnection,
    changes: Changes,
    written: Changes,
    is_changed: bool,
}

impl<'c> Unit<'c> {
    fn new(connection: &'c mut PgConnection) -> Self {
        Self { connection, changes: Changes::default(), written: Changes::default(), is_changed: false }
    }

    /// The connection, for the concept's statements.
    pub fn connection(&mut self) -> &mut PgConnection {
        self.connection
    }

    /// What is written at the end of the unit.
    pub fn changes(&mut self) -> &mut Changes {
        &mut self.changes
    }

    /// Has the unit committed although it has no event: something was written that nobody subscribes to.
    pub fn mark_changed(&mut self) {
        self.is_changed = true;
    }

    /// Notes that a statement of the concept wrote these.
    pub fn changes_written(&mut self, changes: Changes) {
        self.written.append(changes);
    }

    /// Writes what is left to be written. True if there is anything to commit.
    async fn finish(&mut self) -> Result<bool> {
        let changes = std::mem::take(&mut self.changes);
        sql::write(self.connection, &changes).await?;
        self.changes_written(changes);
        Ok(self.is_changed || self.written.is_written())
    }
}

/// What surrounds a run of a verb.
#[derive(Debug, Clone, Copy)]
enum Scope {
    Transaction,
    /// Nothing: the verb's one writing statement is its own transaction.
    Statement,
}

/// Runs verbs on this database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct UnitOfWork {
    pools: Pools,
    notifier: LogNotifier,
    waker: TimerWaker,
}

impl UnitOfWork {
    /// Units of work on these pools; `notifier` and `waker` are this process's.
    pub fn new(pools: Pools, notifier: LogNotifier, waker: TimerWaker) -> Self {
        Self { pools, notifier, waker }
    }

    /// Units of work of a process that is not a server: nobody is woken, and a running server finds the events and timers
    /// at its next poll.
    pub fn detached(pools: impl Into<Pools>) -> Self {
        Self::new(pools.into(), LogNotifier::default(), TimerWaker::default())
    }

    /// The pool of requests, for reads without a decision.
    pub fn pool(&self) -> &PgPool {
        &self.pools.requests
    }

    /// Each caller's share of the pool of requests.
    pub(crate) fn readers(&self) -> &ReaderGate {
        &self.pools.readers
    }

    /// The pool of the workers that run batches.
    pub fn batch_pool(&self) -> &PgPool {
        &self.pools.batches
    }

    /// A place among the batches that wait for locks; they leave some of the batches' connections to the others.
    pub(super) async fn permit_to_wait(&self) -> SemaphorePermit<'_> {
        self.pools.waiting.acquire().await.expect("the semaphore is never closed")
    }

    /// Closes the pools, waiting for what runs.
    pub async fn close(&self) {
        self.pools.close().await;
    }

    /// Runs `verb` in a transaction on a connection of the pool.
    ///
    /// # Errors
    /// The verb's, or `UNAVAILABLE`.
    pub async fn run<V: Verb>(&self, verb: &V) -> Result<V::Outcome> {
        self.run_on(&mut *self.pools.requests.acquire().await?, verb).await
    }

    /// Runs `verb` in a transaction on `connection`.
    ///
    /// # Errors
    /// The verb's, or `UNAVAILABLE`.
    pub async fn run_on<V: Verb>(&self, connection: &mut PgConnection, verb: &V) -> Result<V::Outcome> {
        self.repeat(connection, verb, Scope::Transaction).await
    }

    /// Runs `verb`, which writes each of its subjects in one statement, without a transaction around it.
    ///
    /// # Errors
    /// The verb's, or `UNAVAILABLE`.
    pub async fn run_guarded<V: Verb>(&self, connection: &mut PgConnection, verb: &V) -> Result<V::Outcome> {
        self.repeat(connection, verb, Scope::Statement).await
    }

    /// Runs `verb` again, with growing pauses, while it fails only because it collided with another.
    async fn repeat<V: Verb>(&self, connection: &mut PgConnection, verb: &V, scope: Scope) -> Result<V::Outcome> {
        let mut attempt = 1;
        loop {
            let run = match scope {
                Scope::Transaction => self.run_in_transaction(connection, verb).await,
                Scope::Statement => self.run_in_statement(connection, verb).await,
            };
            match run {
                Err(error) if error.is_transient_conflict() && attempt < ATTEMPTS => {
                    metrics::counter!("switchboard_transaction_retries_total").increment(1);
                    tokio::time::sleep(Duration::from_millis(1 << attempt)).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn run_in_transaction<V: Verb>(&self, connection: &mut PgConnection, verb: &V) -> Result<V::Outcome> {
        let mut transaction = connection.begin().await?;
        let mut unit = Unit::new(&mut transaction);
        let outcome = verb.run(&mut unit).await?;
        let is_changed = unit.finish().await?;
        let written = unit.written;
        if is_changed {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        self.announce(written);
        Ok(outcome)
    }

    async fn run_in_statement<V: Verb>(&self, connection: &mut PgConnection, verb: &V) -> Result<V::Outcome> {
        let mut unit = Unit::new(connection);
        let outcome = verb.run(&mut unit).await?;
        debug_assert!(!unit.changes.is_written(), "a guarded verb writes its changes itself");
        self.announce(unit.written);
        Ok(outcome)
    }

    /// After the commit: wakes whoever waits for these changes, and counts.
    fn announce(&self, changes: Changes) {
        if changes.has_events() {
            self.notifier.notify();
        }
        if let Some(due_at) = changes.first_due() {
            self.waker.wake_for(due_at);
        }
        changes.into_metrics();
    }
}
