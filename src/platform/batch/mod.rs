//! Calls that arrive together share a statement or a transaction.
//!
//! - `Batches` runs mutations: one kind, one company, many callers.
//! - `Reads` finds rows by key: one kind, one group (a company, and for a list its arguments), many callers.
//!
//! Both rest on a `Gatherer` (`gather.rs`): while one batch runs, the calls that arrive gather, and the next batch
//! takes them all. Nobody waits while nothing runs: a single call is a batch of one. Under load a batch is as large as
//! what arrived during the one before, so that round trips, flushes and the locks of shared rows are paid once for many.
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
//! half of the batches' connections wait on the locked path, so that a row that is locked for long leaves the other half.
//!
//! Each call has its own outcome. A batch that fails as a whole is tried again call by call on the locked path, so that
//! each call meets its own error.
//!
//! # Failure modes
//! - A batch runs in a task of its own. A caller that goes away cancels no write, not even its own.
//! - A call may run twice if the first run's result was lost with its connection. A call must therefore be recognizable
//!   by an id or a key that the application made before the first run.

mod connection;
mod gate;
mod gather;
mod reading;
mod reads;

use std::{fmt, future::Future, sync::Arc};

use futures_util::FutureExt as _;
use sqlx::PgConnection;
use uuid::Uuid;

use self::gather::Gatherer;
use super::{
    error::{Error, Result},
    unit::{Unit, UnitOfWork, Verb},
};
pub(crate) use gate::ReaderGate;
pub(crate) use reading::Reading;
pub(crate) use reads::Reads;

/// Guarded batches of one company and kind at once: while some are being flushed, the next is decided. Four gave 1.1 times
/// the requests/s of two with 8 connections, and as many with 128.
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
    /// What the caller gets.
    type Outcome: Send + 'static;

    /// The tenant. A batch has calls of one company only.
    fn company_id(&self) -> Uuid;

    /// What the call is about, for a call whose batch failed before anything was read.
    fn subject(&self) -> Uuid;

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

/// Gathers calls of one kind and runs them in batches. Cheap to clone.
pub(crate) struct Batches<C: Batched> {
    guarded: Gatherer<Uuid, Arc<C>, CallOutcome<C::Outcome>>,
    locked: Gatherer<(Uuid, Uuid), Arc<C>, CallOutcome<C::Outcome>>,
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
        let (guarded, locked) = (work.clone(), work.clone());
        Self {
            guarded: Gatherer::new(C::KIND, GUARDED_WORKERS, move |connection, _, calls| {
                let work = guarded.clone();
                async move {
                    let run = async {
                        let connection = connection.get(work.batch_pool()).await?;
                        work.run_guarded(connection, &Batch { calls, path: WritePath::Guarded }).await
                    };
                    match run.await {
                        Ok(outcomes) => outcomes.into_iter().map(Some).collect(),
                        Err(error) => {
                            connection.release();
                            tracing::debug!(kind = C::KIND, error = error.chain(), size = calls.len(), "batch failed");
                            Vec::new()
                        }
                    }
                }
                .boxed()
            }),
            locked: Gatherer::new(C::KIND, 1, move |connection, _, calls| {
                let work = locked.clone();
                async move {
                    let _permit = work.permit_to_wait().await;
                    let outcomes = match connection.get(work.batch_pool()).await {
                        Ok(held) => run_locked(&work, held, calls).await,
                        Err(error) => calls.iter().map(|_| CallOutcome::Decided(Err(error.clone()))).collect(),
                    };
                    // A worker without a permit holds no connection.
                    connection.release();
                    outcomes.into_iter().map(Some).collect()
                }
                .boxed()
            }),
        }
    }

    /// Runs `call`, together with those that arrive at the same time.
    ///
    /// # Errors
    /// The call's own, or `UNAVAILABLE`.
    pub(crate) async fn run(&self, call: C) -> Result<C::Outcome> {
        let (company_id, call) = (call.company_id(), Arc::new(call));
        let subject = match self.guarded.submit(company_id, Arc::clone(&call)).await {
            Some(CallOutcome::Decided(outcome)) => return outcome,
            Some(CallOutcome::PremiseFailed { subject }) => subject,
            None => call.subject(),
        };
        match self.locked.submit((company_id, subject), call).await {
            Some(CallOutcome::Decided(outcome)) => outcome,
            _ => Err(Error::internal(format!("{}: a call under locks had no outcome", C::KIND))),
        }
    }
}

/// Runs `calls` under locks: together, and one by one where that fails.
async fn run_locked<C: Batched>(
    work: &UnitOfWork,
    connection: &mut PgConnection,
    calls: &[Arc<C>],
) -> Outcomes<C::Outcome> {
    match work.run_on(connection, &Batch { calls, path: WritePath::Locked }).await {
        Ok(outcomes) => outcomes,
        Err(error) if calls.len() == 1 => vec![CallOutcome::Decided(Err(error))],
        Err(_) => {
            let mut outcomes = Vec::with_capacity(calls.len());
            for call in calls {
                let alone = Batch { calls: std::slice::from_ref(call), path: WritePath::Locked };
                let run = work.run_on(connection, &alone).await;
                outcomes.extend(run.unwrap_or_else(|error| vec![CallOutcome::Decided(Err(error))]));
            }
            outcomes
        }
    }
}
