//! Calls that arrive together share a statement or a transaction.
//!
//! - `Batches` runs mutations: one kind, one company, many callers.
//! - `Reads` finds rows by key: one kind, one group (a company, and for a list its arguments), many callers.
//!
//! Both rest on a `Gatherer` (`gather/`): while one batch runs, the calls that arrive gather, and the next batch
//! takes them all. Nobody waits while nothing runs: a single call is a batch of one. Under load a batch has
//! several calls, so that round trips, flushes and the locks of shared rows are paid once for many.
//!
//! # How a mutation runs
//! ```text
//! call ─► partition: company        guarded: read without locks ─► decide ─► one statement, premises checked
//!              │ a premise failed: a row was changed or is locked
//!              └─► partition: company, subject      locked: lock, waiting ─► read ─► decide ─► write ─► commit
//! ```
//! Both paths run the same decision (`Batched::run`). The first one waits for no lock, so one locked row never holds
//! up the calls beside it. The second one has a partition for each subject, with one worker: calls for one subject wait
//! in this process, in their order and with one connection for all of them, and never behind another subject. This is
//! the keyed lock of the process: without it, fifty agents who answer one customer would hold fifty connections. At most
//! half of the batches' connections wait on the locked path, so that a row that is locked for long leaves the other half,
//! and one company never has all of that half.
//!
//! Each call has its own outcome. A batch that fails as a whole is tried again call by call on the locked path, so that
//! each call meets its own error.
//!
//! # Bounds
//! - Calls of one kind for one subject keep their order, on both paths: two messages of a chat are never in two workers.
//! - As many calls wait in a partition as `SWITCHBOARD_BATCH_QUEUE` says, half of them of one caller; the next one gets
//!   `RATE_LIMITED`.
//! - All kinds together hold the batches' pool at most, never the connections of requests.
//! - A batch has a deadline. After it the connection is closed, and the calls get `UNAVAILABLE`.
//!
//! # Failure modes
//! - A batch runs in a task of its own. A caller that goes away before its batch has begun takes its call along; later it
//!   cancels no write, not even its own.
//! - A call may run twice if the first run's result was lost with its connection. A call must therefore be recognizable
//!   by an id or a key that the application made before the first run.

mod connection;
mod gate;
mod gather;
mod reading;
mod reads;

use std::{
    fmt,
    future::Future,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::time::timeout;
use uuid::Uuid;

use self::{
    connection::WorkerConnection,
    gather::{Bounds, Full, Gatherer, Job, Order},
};
use super::{
    db::pool,
    error::{Code, Error, Result},
    unit::{Unit, UnitOfWork, Verb},
};
pub(crate) use gate::ReaderGate;
pub(crate) use reading::Reading;
pub(crate) use reads::Reads;

/// Guarded batches of one company and kind at once, at most: while some are being flushed, the next is decided. A few
/// callers fill two that alternate (`gather/`).
const GUARDED_WORKERS: usize = 4;

/// How a batch may read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WritePath {
    /// Reads without locks; writes each subject in one statement that checks every premise of its decision and skips locked
    /// rows.
    Guarded,
    /// In a transaction: locks everything first, waiting.
    Locked,
}

/// One call of a mutation, as a value.
pub(crate) trait Batched: Sized + Send + Sync + 'static {
    /// The label of the metric `switchboard_batch_size`.
    const KIND: &'static str;
    /// True if nothing is decided without the subject's lock: calls then wait in the lane of their subject from the
    /// beginning, where the limit on waiting calls holds.
    const IS_ALWAYS_LOCKED: bool = false;
    /// What the caller gets.
    type Outcome: Send + 'static;

    /// The tenant. A batch has calls of one company only.
    fn company_id(&self) -> Uuid;

    /// What the call is about. Calls of one kind for one subject run in the order in which they came. A call whose batch
    /// failed before anything was read runs under this subject's locks.
    fn subject(&self) -> Uuid;

    /// `sub` of the caller, who may have half of the places of those that wait.
    fn caller(&self) -> Option<&str>;

    /// Runs `calls` in their order. One outcome for each.
    fn run(
        calls: &[Arc<Self>],
        unit: &mut Unit<'_>,
        path: WritePath,
    ) -> impl Future<Output = Result<Outcomes<Self::Outcome>>> + Send;
}

/// The outcomes of a batch, in the order of its calls.
pub(crate) type Outcomes<T> = Vec<CallOutcome<T>>;

/// What became of a call.
#[derive(Debug)]
pub(crate) enum CallOutcome<T> {
    /// What its caller gets.
    Decided(Result<T>),
    /// Nothing was written, because a premise of the decision failed. It is to run again on the locked path, where it waits
    /// with the calls for the same subject: the row whose lock carries the decision.
    PremiseFailed {
        /// The subject's id.
        subject: Uuid,
    },
}

/// Some calls as one verb of a unit of work.
struct Batch<'a, C> {
    calls: &'a [Arc<C>],
    path: WritePath,
}

impl<C: Batched> Verb for Batch<'_, C> {
    type Outcome = Outcomes<C::Outcome>;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Self::Outcome> {
        C::run(self.calls, unit, self.path).await
    }
}

/// A call, and where its outcome goes.
type CallJob<C> = Job<Arc<C>, Result<<C as Batched>::Outcome>>;
/// The calls of one subject of a company.
type Locked<C> = Gatherer<(Uuid, Uuid), Arc<C>, Result<<C as Batched>::Outcome>>;

/// Gathers calls of one kind and runs them in batches. Cheap to clone.
pub(crate) struct Batches<C: Batched> {
    guarded: Gatherer<Uuid, Arc<C>, Result<C::Outcome>>,
    locked: Locked<C>,
}

impl<C: Batched> Clone for Batches<C> {
    fn clone(&self) -> Self {
        Self { guarded: self.guarded.clone(), locked: self.locked.clone() }
    }
}

impl<C: Batched> fmt::Debug for Batches<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("kind", &C::KIND).finish_non_exhaustive()
    }
}

impl<C: Batched> Batches<C> {
    /// Batches on this database.
    pub(crate) fn new(work: &UnitOfWork) -> Self {
        let (waiting, time) = (work.batch_queue(), pool::deadline(work.batch_pool()));
        let locked: Locked<C> = {
            let work = work.clone();
            // One worker, come what may: it is the keyed lock.
            Gatherer::new(C::KIND, Bounds { workers: 1, spare: 0, waiting }, move |connection, _, jobs| {
                let work = work.clone();
                async move { run_locked(&work, time, connection, jobs).await }.boxed()
            })
        };
        let guarded = {
            let (work, locked) = (work.clone(), locked.clone());
            let bounds = Bounds { workers: GUARDED_WORKERS, spare: 1, waiting };
            Gatherer::new(C::KIND, bounds, move |connection, company_id, jobs: Vec<CallJob<C>>| {
                let (work, locked) = (work.clone(), locked.clone());
                async move {
                    // Behind earlier calls for the same subject, which keep their order.
                    let (behind, jobs): (Vec<_>, Vec<_>) =
                        jobs.into_iter().partition(|job| locked.is_busy(&(company_id, job.item.subject())));
                    for job in behind {
                        locked.pass((company_id, job.item.subject()), job);
                    }
                    if !jobs.is_empty() {
                        run_guarded(&work, time, connection, &locked, jobs).await;
                    }
                }
                .boxed()
            })
        };
        Self { guarded, locked }
    }

    /// Runs `call`, together with those that arrive at the same time.
    ///
    /// # Errors
    /// The call's own; `RATE_LIMITED` if too many wait; `UNAVAILABLE`.
    pub(crate) async fn run(&self, call: C) -> Result<C::Outcome> {
        let (company_id, call) = (call.company_id(), Arc::new(call));
        let order = Order { subject: Some(call.subject()), caller: call.caller().map(number) };
        let is_full = |_: Full| {
            metrics::counter!("switchboard_batch_refused_total", "kind" => C::KIND).increment(1);
            Error::new(Code::RateLimited, "too many calls of this kind are waiting, try again")
        };
        if !C::IS_ALWAYS_LOCKED
            && let Some(outcome) = self.guarded.submit(company_id, order, Arc::clone(&call)).await.map_err(is_full)?
        {
            return outcome;
        }
        // Or its batch panicked.
        let alone = self.locked.submit((company_id, call.subject()), order, call).await.map_err(is_full)?;
        alone.unwrap_or_else(|| Err(Error::internal(format!("{}: a call under locks had no outcome", C::KIND))))
    }
}

/// A caller as a number; that two callers share one only costs them a share.
fn number(caller: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    caller.hash(&mut hasher);
    hasher.finish()
}

/// Runs the calls of `jobs` on the worker's connection.
///
/// # Errors
/// That of the whole batch. `UNAVAILABLE` after the deadline, with the connection closed.
async fn run_batch<C: Batched>(
    work: &UnitOfWork,
    time: Duration,
    connection: &mut WorkerConnection,
    jobs: &[CallJob<C>],
    path: WritePath,
) -> Result<Outcomes<C::Outcome>> {
    let held = connection.get(work.batch_pool()).await?;
    let calls: Vec<Arc<C>> = jobs.iter().map(|job| Arc::clone(&job.item)).collect();
    let batch = Batch { calls: &calls, path };
    let run = async {
        match path {
            WritePath::Guarded => work.run_guarded(held, &batch).await,
            WritePath::Locked => work.run_on(held, &batch).await,
        }
    };
    if let Ok(outcomes) = timeout(time, run).await {
        return outcomes;
    }
    connection.close();
    Err(Error::unavailable(format!("a batch of {} took longer than {time:?}", C::KIND)))
}

/// Runs `jobs` without waiting for locks. Those that need locks are passed on.
async fn run_guarded<C: Batched>(
    work: &UnitOfWork,
    time: Duration,
    connection: &mut WorkerConnection,
    locked: &Locked<C>,
    jobs: Vec<CallJob<C>>,
) {
    let mut outcomes = match run_batch::<C>(work, time, connection, &jobs, WritePath::Guarded).await {
        Ok(outcomes) => outcomes.into_iter(),
        // Without a connection it would be the same under locks.
        Err(error) if !connection.is_held() => return fail::<C>(jobs, &error),
        Err(error) => {
            connection.release();
            tracing::debug!(kind = C::KIND, error = error.chain(), size = jobs.len(), "batch failed");
            Vec::new().into_iter()
        }
    };
    for job in jobs {
        let company_id = job.item.company_id();
        match outcomes.next() {
            Some(CallOutcome::Decided(outcome)) => job.finish(outcome),
            Some(CallOutcome::PremiseFailed { subject }) => locked.pass((company_id, subject), job),
            None => locked.pass((company_id, job.item.subject()), job),
        }
    }
}

/// Runs `jobs`, all for one subject, under locks: together, and one by one where that fails.
async fn run_locked<C: Batched>(
    work: &UnitOfWork,
    time: Duration,
    connection: &mut WorkerConnection,
    mut jobs: Vec<CallJob<C>>,
) {
    let Some(company_id) = jobs.first().map(|job| job.item.company_id()) else { return };
    let _place = match work.place_to_wait(company_id).await {
        Ok(place) => place,
        Err(error) => return fail::<C>(jobs, &error),
    };
    // The batch begins only now.
    jobs.retain(|job| !job.is_abandoned());
    if jobs.is_empty() {
        return;
    }
    let together = run_batch::<C>(work, time, connection, &jobs, WritePath::Locked).await;
    match together {
        Ok(outcomes) => {
            for (job, outcome) in jobs.into_iter().zip(outcomes) {
                job.finish(decided::<C>(outcome));
            }
        }
        // They wait for the same lock or have lost the same connection: one that tries again would wait as long.
        Err(error) if jobs.len() < 2 || error.code() == Code::Unavailable => fail::<C>(jobs, &error),
        Err(_) => {
            for job in jobs.into_iter().filter(|job| !job.is_abandoned()) {
                let alone = [job];
                let outcome = run_batch::<C>(work, time, connection, &alone, WritePath::Locked).await;
                let outcome = outcome.and_then(|outcomes| {
                    let first = outcomes.into_iter().next();
                    first.map_or_else(|| Err(Error::internal("a batch of one has no outcome")), decided::<C>)
                });
                let [job] = alone;
                job.finish(outcome);
            }
        }
    }
    // A worker without a place holds no connection.
    connection.release();
}

fn decided<C: Batched>(outcome: CallOutcome<C::Outcome>) -> Result<C::Outcome> {
    match outcome {
        CallOutcome::Decided(outcome) => outcome,
        CallOutcome::PremiseFailed { .. } => Err(Error::internal(format!("{}: a premise failed under locks", C::KIND))),
    }
}

fn fail<C: Batched>(jobs: Vec<CallJob<C>>, error: &Error) {
    for job in jobs {
        job.finish(Err(error.clone()));
    }
}
