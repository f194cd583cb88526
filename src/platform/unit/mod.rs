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
//! A transaction has a deadline, after which its connection is closed and the caller gets `UNAVAILABLE`.
//!
//! If the connection is lost during the commit, nobody knows whether the commit took place. The caller gets
//! `UNAVAILABLE` and nobody is woken; the readers' poll finds the events. A repeat is safe if the verb recognizes it,
//! by an id that the application made or by a key.

mod changes;
mod gate;
mod sql;

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::{Connection as _, PgConnection, PgPool};
use tracing::Instrument as _;
use uuid::Uuid;

pub use changes::{Changes, Record};
pub use gate::Lines;
pub(crate) use sql::ChangeColumns;

use self::gate::{Gate, Place};
use super::{
    batch::ReaderGate,
    db::{Pools, pool},
    error::{Error, Result},
    event::LogNotifier,
    timer::TimerWaker,
};

/// How many times a verb is run at most, the first time included.
const ATTEMPTS: u32 = 8;

/// A mutation as a value.
pub trait Verb: Sync {
    /// What the caller gets.
    type Outcome: Send;

    /// Locks, decides and writes. Runs again from the start after a deadlock or a serialization failure.
    fn run(&self, unit: &mut Unit<'_>) -> impl Future<Output = Result<Self::Outcome>> + Send;

    /// Where the verb waits in this process before it takes a connection.
    fn lines(&self) -> Lines {
        Lines::default()
    }
}

/// A verb that has its turn among the verbs on its record already, see [`UnitOfWork::in_line`].
pub(crate) struct InLine<V>(pub(crate) V);

impl<V: Verb> Verb for InLine<V> {
    type Outcome = V::Outcome;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<V::Outcome> {
        self.0.run(unit).await
    }

    fn lines(&self) -> Lines {
        Lines { subject: None, ..self.0.lines() }
    }
}

/// One run of a verb.
#[derive(Debug)]
pub struct Unit<'c> {
    connection: &'c mut PgConnection,
    changes: Changes,
    written: Changes,
    is_changed: bool,
    /// Locks that it holds until its end: of what, and whose.
    locks: Vec<(&'static str, Uuid)>,
}

impl<'c> Unit<'c> {
    fn new(connection: &'c mut PgConnection) -> Self {
        Self {
            connection,
            changes: Changes::default(),
            written: Changes::default(),
            is_changed: false,
            locks: Vec::new(),
        }
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

    /// Notes that this unit has taken a lock, which it keeps to its end.
    pub(crate) fn note_lock(&mut self, of: &'static str, whose: Uuid) {
        self.locks.push((of, whose));
    }

    /// True if this unit has taken that lock before.
    pub(crate) fn holds(&self, of: &'static str, whose: Uuid) -> bool {
        self.locks.contains(&(of, whose))
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

/// A [`Verb`] without its type, so that what surrounds a verb is compiled once and not for each. Leaves its outcome behind.
trait AnyVerb: Send {
    fn run<'u>(&'u mut self, unit: &'u mut Unit<'_>) -> BoxFuture<'u, Result<()>>;
}

/// A verb and, when it has run, its outcome.
struct Run<'v, V: Verb> {
    verb: &'v V,
    outcome: Option<V::Outcome>,
}

impl<V: Verb> Run<'_, V> {
    fn outcome(self) -> Result<V::Outcome> {
        self.outcome.ok_or_else(|| Error::internal("a verb succeeded and left no outcome"))
    }
}

impl<V: Verb> AnyVerb for Run<'_, V> {
    fn run<'u>(&'u mut self, unit: &'u mut Unit<'_>) -> BoxFuture<'u, Result<()>> {
        async move {
            self.outcome = Some(self.verb.run(unit).await?);
            Ok(())
        }
        .boxed()
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
    /// Before transactions outside batches.
    gate: Arc<Gate>,
    /// Before batches that wait for locks.
    waiting: Arc<Gate>,
}

impl UnitOfWork {
    /// Units of work on these pools; `notifier` and `waker` are this process's.
    pub fn new(pools: Pools, notifier: LogNotifier, waker: TimerWaker) -> Self {
        let (gate, waiting) = (Gate::for_transactions(&pools.transactions), Gate::for_batches(&pools.waiting));
        Self { pools, notifier, waker, gate, waiting }
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

    /// The pool of the scheduler.
    pub fn timer_pool(&self) -> &PgPool {
        &self.pools.timers
    }

    /// Runs `look`, a background task's statements, on a connection of the scheduler, which no request waits for, and not
    /// longer than a link may be silent.
    ///
    /// # Errors
    /// Those of `look`; `UNAVAILABLE` when it takes too long, or no connection became free in time.
    pub(crate) async fn on_scheduler<T>(&self, look: impl AsyncFnOnce(&mut PgConnection) -> Result<T>) -> Result<T> {
        let pool = self.timer_pool();
        let mut connection = pool.acquire().await?;
        pool::within(pool::deadline(pool), look(&mut connection)).await
    }

    /// Calls that may wait in one partition of a batch.
    pub(super) fn batch_queue(&self) -> usize {
        self.pools.batch_queue
    }

    /// A place among the batches that wait for locks. They leave some of the batches' connections to the others, and one
    /// company leaves a place to the others.
    pub(super) async fn place_to_wait(&self, company_id: Uuid) -> Result<Place> {
        self.waiting.enter(Lines { caller: Some((company_id, String::new())), ..Lines::default() }).await
    }

    /// Closes the pools, waiting for what runs.
    pub async fn close(&self) {
        self.pools.close().await;
    }

    /// Runs `run` in its turn among the verbs on the same record, for calls of a record that run in batches: they and the
    /// record's verbs then keep the order in which they came.
    ///
    /// # Errors
    /// The run's; `RATE_LIMITED` if too many wait.
    pub(crate) async fn in_line<T>(&self, lines: Lines, run: impl Future<Output = Result<T>>) -> Result<T> {
        let turn = self.gate.turn(lines).await?;
        let outcome = run.await;
        drop(turn);
        outcome
    }

    /// Runs `verb` in a transaction on a connection of the pool, in a task of its own: once it has begun, it runs to its
    /// end also when the caller has gone, and so long it has its place and its connection.
    ///
    /// # Errors
    /// The verb's; `RATE_LIMITED` if too many wait; `UNAVAILABLE`.
    pub async fn run<V>(&self, verb: V) -> Result<V::Outcome>
    where
        V: Verb + Send + 'static,
        V::Outcome: 'static,
    {
        self.run_in_place(verb, Scope::Transaction).await
    }

    /// As [`UnitOfWork::run`], for a verb whose one statement is its own transaction: it saves the round trips of another
    /// one around it.
    ///
    /// # Errors
    /// As for `run`.
    pub async fn run_statement<V>(&self, verb: V) -> Result<V::Outcome>
    where
        V: Verb + Send + 'static,
        V::Outcome: 'static,
    {
        self.run_in_place(verb, Scope::Statement).await
    }

    async fn run_in_place<V>(&self, verb: V, scope: Scope) -> Result<V::Outcome>
    where
        V: Verb + Send + 'static,
        V::Outcome: 'static,
    {
        let place = self.gate.enter(verb.lines()).await?;
        let work = self.clone();
        let run = async move {
            let mut run = Run { verb: &verb, outcome: None };
            let done = work.run_here(&mut run, scope).await;
            drop(place);
            done.and_then(|()| run.outcome())
        };
        // Boxed, so that the machinery of a task is compiled once for each outcome and not for each verb.
        tokio::spawn(run.in_current_span().boxed()).await.unwrap_or_else(|panic| Err(Error::internal(panic)))
    }

    async fn run_here(&self, verb: &mut dyn AnyVerb, scope: Scope) -> Result<()> {
        let pool = &self.pools.requests;
        let mut connection = pool.acquire().await?;
        let time = pool::deadline(pool);
        if let Ok(done) = tokio::time::timeout(time, self.repeat(&mut connection, verb, scope)).await {
            return done;
        }
        pool::close_hard(connection);
        Err(Error::unavailable(format!("a transaction took longer than {time:?}")))
    }

    /// Runs `verb` in a transaction on `connection`.
    ///
    /// # Errors
    /// The verb's, or `UNAVAILABLE`.
    pub async fn run_on<V: Verb>(&self, connection: &mut PgConnection, verb: &V) -> Result<V::Outcome> {
        self.run_in(Scope::Transaction, connection, verb).await
    }

    /// Runs `verb`, which writes each of its subjects in one statement, without a transaction around it.
    ///
    /// # Errors
    /// The verb's, or `UNAVAILABLE`.
    pub async fn run_guarded<V: Verb>(&self, connection: &mut PgConnection, verb: &V) -> Result<V::Outcome> {
        self.run_in(Scope::Statement, connection, verb).await
    }

    async fn run_in<V: Verb>(&self, scope: Scope, connection: &mut PgConnection, verb: &V) -> Result<V::Outcome> {
        let mut run = Run { verb, outcome: None };
        self.repeat(connection, &mut run, scope).await?;
        run.outcome()
    }

    /// Runs `verb` again, with growing pauses, while it fails only because it collided with another.
    async fn repeat(&self, connection: &mut PgConnection, verb: &mut dyn AnyVerb, scope: Scope) -> Result<()> {
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

    async fn run_in_transaction(&self, connection: &mut PgConnection, verb: &mut dyn AnyVerb) -> Result<()> {
        let mut transaction = connection.begin().await?;
        let mut unit = Unit::new(&mut transaction);
        let run = async {
            verb.run(&mut unit).await?;
            unit.finish().await
        };
        let is_changed = match run.await {
            Ok(is_changed) => is_changed,
            Err(error) => {
                // At once, so that its locks are free when the caller hears of the failure. Otherwise the connection would
                // be rolled back when it is used again.
                let _ = transaction.rollback().await;
                return Err(error);
            }
        };
        let written = unit.written;
        if is_changed {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
        self.announce(written);
        Ok(())
    }

    async fn run_in_statement(&self, connection: &mut PgConnection, verb: &mut dyn AnyVerb) -> Result<()> {
        let mut unit = Unit::new(connection);
        verb.run(&mut unit).await?;
        debug_assert!(!unit.changes.is_written(), "a guarded verb writes its changes itself");
        self.announce(unit.written);
        Ok(())
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
