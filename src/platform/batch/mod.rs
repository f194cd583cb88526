//! Hot statements in batches: while some are being written, those of the same kind that arrive gather, and the next
//! transaction takes them all. Reads of single rows gather in the same way.
//!
//! ```text
//! request ─ submit ─► lane of its company ─┐ at most `parallel` workers, each a task with a connection that it holds
//! request ─ submit ─►                      ├─► write(jobs) ─► one outcome for each job
//! request ─ submit ─►                      ┘
//! ```
//!
//! Nobody waits while the lane is idle: a lone request is a batch of one. Under load a batch is as large as what
//! arrived during the one before, so round trips, flushes and the locks on rows that all of them need (their company,
//! their contract) are paid once for many.
//!
//! What holds:
//! - A batch is of one lane: one kind of write of one company.
//! - It runs as a task of its own: a caller that goes away cancels nobody's write, its own neither.
//! - Each job has its own outcome. `None` says that the batch could not write this one (it is not of the simple kind,
//!   or the whole batch failed): then its caller does it alone, where it gets its own error. So one bad job costs the
//!   others nothing but time. Reads that fail, fail together: nobody asks again while the database is away.
//!
//! The writer must therefore be able to tell a job that was written from one that was not by what the job itself
//! names (a key, an id): a batch whose COMMIT was lost is followed by each of its jobs alone.

mod held;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::oneshot;

use self::held::Held;
use crate::platform::error::{Error, Result};

/// Of writes at once: while one batch is being flushed, the next is made.
const WRITERS: usize = 2;
/// Of reads at once, which flush nothing: fewer and larger statements cost the least.
const READERS: usize = 1;
/// Most jobs in one batch: beyond it the rows cost more than the round trips that they share.
const MOST: usize = 128;

/// Begins the transaction of a batch. All its statements look rows up by keys, for any number of them, so one plan fits:
/// making it anew each time cost more than most of them take to run. And new rows are newer than any statistics, so
/// that a plan that is kept must not read whole tables, however small they looked.
pub async fn begin(connection: &mut PgConnection) -> Result<Transaction<'_, Postgres>> {
    let begin = "begin; set local plan_cache_mode = force_generic_plan; set local enable_seqscan = off";
    Ok(connection.begin_with(begin).await?)
}

/// What is done on the database for some jobs of one lane; answers one outcome for each, in order.
type Work<L, J, O> =
    dyn for<'a> Fn(&'a mut PgConnection, L, &'a [J]) -> BoxFuture<'a, Result<Vec<Option<O>>>> + Send + Sync;

/// Writes some jobs of one lane; answers one outcome for each, in order.
type Write<L, J, O> = dyn for<'a> Fn(&'a mut Held, L, &'a [J]) -> BoxFuture<'a, Vec<Option<O>>> + Send + Sync;

/// Gathers the jobs `J` of each lane `L` and writes them in batches. Cheap to clone.
pub struct Batches<L, J, O>(Arc<Shared<L, J, O>>);

struct Shared<L, J, O> {
    kind: &'static str,
    parallel: usize,
    write: Box<Write<L, J, O>>,
    lanes: Mutex<HashMap<L, Lane<J, O>>>,
}

/// One that waits, and where its outcome goes.
type Waiting<J, O> = (J, oneshot::Sender<Option<O>>);

struct Lane<J, O> {
    waiting: VecDeque<Waiting<J, O>>,
    under_way: usize,
}

impl<L, J, O> Clone for Batches<L, J, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<L, J, O> fmt::Debug for Batches<L, J, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("kind", &self.0.kind).finish_non_exhaustive()
    }
}

impl<L, J, O> Shared<L, J, O> {
    fn lanes(&self) -> MutexGuard<'_, HashMap<L, Lane<J, O>>> {
        // Nothing panics while it holds the lock.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<L, J, O> Batches<L, J, O>
where
    L: Clone + Eq + Hash + Send + Sync + 'static,
    J: Send + Sync + 'static,
    O: Send + 'static,
{
    /// Writes of `kind` (a label of metrics) on this database. `write` answers one outcome for each job, in order; where
    /// it fails, each of them meets the same alone, and answers it.
    pub fn writes(
        kind: &'static str,
        pool: PgPool,
        write: impl for<'a> Fn(&'a mut PgConnection, L, &'a [J]) -> BoxFuture<'a, Result<Vec<Option<O>>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self::on(kind, WRITERS, pool, Arc::new(write), |_| None)
    }

    /// Each job's outcome is `failed` where its whole batch is.
    fn on(
        kind: &'static str,
        parallel: usize,
        pool: PgPool,
        work: Arc<Work<L, J, O>>,
        failed: fn(&Error) -> Option<O>,
    ) -> Self {
        Self::written_by(kind, parallel, move |held, lane, jobs| {
            let (pool, work) = (pool.clone(), Arc::clone(&work));
            async move {
                let worked = match held.connection(&pool).await {
                    Ok(connection) => work(connection, lane, jobs).await,
                    Err(error) => Err(error),
                };
                worked.unwrap_or_else(|error| {
                    held.let_go();
                    tracing::debug!(kind, error = error.chain(), size = jobs.len(), "a batch failed");
                    jobs.iter().map(|_| failed(&error)).collect()
                })
            }
            .boxed()
        })
    }

    fn written_by(
        kind: &'static str,
        parallel: usize,
        write: impl for<'a> Fn(&'a mut Held, L, &'a [J]) -> BoxFuture<'a, Vec<Option<O>>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared { kind, parallel, write: Box::new(write), lanes: Mutex::default() }))
    }

    /// Has `job` written with others of its lane. `None`: it was not, do it alone.
    pub async fn submit(&self, lane: L, job: J) -> Option<O> {
        let (outcome, written) = oneshot::channel();
        let begins = {
            let mut lanes = self.0.lanes();
            let here = lanes.entry(lane.clone()).or_insert_with(|| Lane { waiting: VecDeque::new(), under_way: 0 });
            here.waiting.push_back((job, outcome));
            let begins = here.under_way < self.0.parallel;
            here.under_way += usize::from(begins);
            begins
        };
        if begins {
            tokio::spawn(Arc::clone(&self.0).work(lane));
        }
        written.await.ok().flatten()
    }
}

impl<L, J, T> Batches<L, J, Result<T>>
where
    L: Clone + Eq + Hash + Send + Sync + 'static,
    J: Send + Sync + 'static,
    T: Send + 'static,
{
    /// Reads of `kind` (a label of metrics) on this database. `read` answers one outcome for each job, in order; where it
    /// fails, that is the outcome of each.
    pub fn reads(
        kind: &'static str,
        pool: PgPool,
        read: impl for<'a> Fn(&'a mut PgConnection, L, &'a [J]) -> BoxFuture<'a, Result<Vec<Option<Result<T>>>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self::on(kind, READERS, pool, Arc::new(read), |error| Some(Err(error.clone())))
    }
}

impl<L, J, O> Shared<L, J, O>
where
    L: Clone + Eq + Hash,
{
    /// Writes one batch after the other until nothing waits.
    async fn work(self: Arc<Self>, lane: L) {
        let mut held = Held::default();
        while let Some(batch) = self.next(&lane) {
            metrics::histogram!("switchboard_batch_size", "kind" => self.kind).record(count(batch.len()));
            let (jobs, senders): (Vec<J>, Vec<_>) = batch.into_iter().unzip();
            let writing = AssertUnwindSafe(async { (self.write)(&mut held, lane.clone(), &jobs).await }).catch_unwind();
            let mut outcomes = writing.await.unwrap_or_else(|_| {
                held.let_go();
                tracing::error!(kind = self.kind, "a batch panicked; each of its jobs is done alone");
                Vec::new()
            });
            outcomes.resize_with(senders.len(), || None);
            for (sender, outcome) in senders.into_iter().zip(outcomes) {
                // A caller that went away does not want to know.
                let _ = sender.send(outcome);
            }
        }
    }

    /// What waits, or `None` when this worker is to end; under one lock, so that no job is left without a worker.
    fn next(&self, lane: &L) -> Option<Vec<Waiting<J, O>>> {
        let mut lanes = self.lanes();
        let here = lanes.get_mut(lane)?;
        if here.waiting.is_empty() {
            here.under_way -= 1;
            if here.under_way == 0 {
                lanes.remove(lane);
            }
            return None;
        }
        let size = here.waiting.len().min(MOST);
        Some(here.waiting.drain(..size).collect())
    }
}

fn count(size: usize) -> f64 {
    u32::try_from(size).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use tokio::sync::Semaphore;

    use super::*;
    use crate::platform::error::Code;

    /// How many jobs each batch had, in the order in which they were written.
    type Sizes = Arc<Mutex<Vec<usize>>>;

    /// Batches that wait for a permit each; they double even numbers, leave odd ones, and panic at 13.
    fn gated() -> (Batches<&'static str, u32, u32>, Arc<Semaphore>, Sizes) {
        let gate = Arc::new(Semaphore::new(0));
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let (behind, seen) = (Arc::clone(&gate), Arc::clone(&sizes));
        let batches = Batches::written_by("test", WRITERS, move |_, _, jobs: &[u32]| {
            let (gate, seen) = (Arc::clone(&behind), Arc::clone(&seen));
            async move {
                gate.acquire().await.unwrap().forget();
                seen.lock().unwrap().push(jobs.len());
                assert!(!jobs.contains(&13), "an unlucky batch");
                jobs.iter().map(|job| (job % 2 == 0).then_some(job * 2)).collect()
            }
            .boxed()
        });
        (batches, gate, sizes)
    }

    #[tokio::test]
    async fn what_arrives_during_a_batch_is_the_next_one_and_each_job_has_its_own_outcome() {
        let (batches, gate, sizes) = gated();
        let mut jobs: Vec<_> = (0..10).map(|job| Box::pin(batches.submit("lane", job))).collect();
        for job in &mut jobs {
            assert!(futures_util::poll!(job.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        gate.add_permits(3);
        let outcomes = futures_util::future::join_all(jobs).await;
        let expected: Vec<_> = (0..10).map(|job| (job % 2 == 0).then_some(job * 2)).collect();
        assert_eq!(outcomes, expected);
        let mut sizes = sizes.lock().unwrap().clone();
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 1, 8], "two began at once, the rest gathered");
        assert!(batches.0.lanes().is_empty(), "an idle lane is forgotten");
    }

    #[tokio::test]
    async fn a_caller_that_leaves_cancels_nobody_and_a_panic_costs_only_its_batch() {
        let (batches, gate, sizes) = gated();
        let mut leader = Box::pin(batches.submit("lane", 2));
        assert!(futures_util::poll!(leader.as_mut()).is_pending());
        tokio::task::yield_now().await;
        let mut other = Box::pin(batches.submit("lane", 13));
        assert!(futures_util::poll!(other.as_mut()).is_pending());
        tokio::task::yield_now().await;
        drop(leader);
        let mut last = Box::pin(batches.submit("lane", 4));
        assert!(futures_util::poll!(last.as_mut()).is_pending());
        gate.add_permits(3);
        assert_eq!(other.await, None, "to be done alone");
        assert_eq!(last.await, Some(8));
        assert_eq!(*sizes.lock().unwrap(), [1, 1, 1], "the leader's job was written too");
        assert!(batches.0.lanes().is_empty());
    }

    #[tokio::test]
    async fn without_a_database_reads_fail_together_and_writes_are_left_to_be_done_alone() {
        let away = || {
            let options = sqlx::postgres::PgPoolOptions::new().acquire_timeout(Duration::from_millis(100));
            options.connect_lazy("postgres://127.0.0.1:1/nothing").unwrap()
        };
        let reads: Batches<&str, u32, Result<u32>> =
            Batches::reads("test", away(), |_, _, _| async { panic!("there is no connection") }.boxed());
        let (one, other) = tokio::join!(reads.submit("lane", 1), reads.submit("lane", 2));
        for outcome in [one, other] {
            assert_eq!(outcome.unwrap().unwrap_err().code(), Code::Unavailable);
        }
        let writes: Batches<&str, u32, u32> =
            Batches::writes("test", away(), |_, _, _| async { panic!("there is no connection") }.boxed());
        assert_eq!(writes.submit("lane", 1).await, None);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn lanes_do_not_wait_for_each_other_and_no_job_is_lost() {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let batches: Batches<usize, usize, usize> =
            Batches::written_by("test", WRITERS, move |_, lane, jobs: &[usize]| {
                let count = Arc::clone(&count);
                async move {
                    count.fetch_add(jobs.len(), Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    jobs.iter().map(|job| Some(lane + job)).collect()
                }
                .boxed()
            });
        let tasks: Vec<_> = (0..2_000)
            .map(|job| {
                let batches = batches.clone();
                tokio::spawn(async move { (job, batches.submit(job % 3, job).await) })
            })
            .collect();
        for task in tasks {
            let (job, outcome) = task.await.unwrap();
            assert_eq!(outcome, Some(job % 3 + job));
        }
        assert_eq!(written.load(Ordering::Relaxed), 2_000);
        assert!(batches.0.lanes().is_empty());
    }
}
