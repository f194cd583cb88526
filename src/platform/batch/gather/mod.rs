//! Collects jobs while a batch of earlier ones runs.
//!
//! ```text
//! submit ─► partition ─┐ a few tasks, each with a connection that it keeps
//! submit ─►            ├─► run(jobs) ─► each job is finished, or passed on to another gatherer
//! submit ─►            ┘
//! ```
//!
//! - While batches run, the next one begins only when as many jobs wait as run, or [`ENOUGH`]. So a few callers settle at
//!   two batches that alternate, each half of the callers: while one is being flushed, the other gathers. Without the rule a
//!   worker takes each job as it arrives, and the fixed cost of a batch, which is that of four jobs, is paid for one or two.
//! - A worker that runs out of jobs rests for a moment ([`REST`]) if it has a connection and its pool has more: the next job
//!   then costs neither a task nor the round trips of a connection that goes back to its pool and is taken again.
//! - Jobs of one subject keep their order: a worker takes none whose subject another worker has in its hands.
//! - A job whose caller has gone is dropped when a worker would take it. What a worker has taken, it runs.
//! - Workers that hang hold up only what they have in their hands: after a second another worker begins.
//! - A partition is bounded: beyond its limit a job is refused at once, as is one of a caller who has half of it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout},
};
use uuid::Uuid;

use super::connection::WorkerConnection;

/// A partition whose workers have begun nothing for so long gets its spare ones: the others may hang on a frozen link, and
/// what waits behind them need not wait for their deadline.
const HANGING: Duration = Duration::from_secs(1);

/// Jobs that are worth a batch, however many run: its fixed cost, that of four jobs, is the smaller part of it then.
const ENOUGH: usize = 8;

/// How long a worker without jobs keeps its connection.
const REST: Duration = Duration::from_millis(5);

/// Most jobs in one batch: beyond it the rows cost more than the round trips that they share.
const MOST: usize = 128;

/// Runs some jobs of one partition, in their order.
type Run<P, I, O> = dyn for<'a> Fn(&'a mut WorkerConnection, P, Vec<Job<I, O>>) -> BoxFuture<'a, ()> + Send + Sync;

/// What a caller wants done, and where its outcome goes.
pub(super) struct Job<I, O> {
    pub(super) item: I,
    order: Order,
    outcome: oneshot::Sender<O>,
}

/// What decides a job's place among others.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Order {
    /// Jobs of one subject run in the order in which they came.
    pub(super) subject: Option<Uuid>,
    /// Whoever asks, as a number; one caller may have half of a partition's places.
    pub(super) caller: Option<u64>,
}

impl<I, O> Job<I, O> {
    /// Gives the caller its outcome. Does nothing if the caller has gone: it is then of no use to anybody.
    pub(super) fn finish(self, outcome: O) {
        let _ = self.outcome.send(outcome);
    }

    /// True if nobody waits for the outcome any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.outcome.is_closed()
    }

    /// The subject whose jobs run in order.
    pub(super) fn subject(&self) -> Option<Uuid> {
        self.order.subject
    }
}

/// As many jobs wait as may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Jobs of each partition, run in batches. Cheap to clone.
pub(super) struct Gatherer<P, I, O>(Arc<Shared<P, I, O>>);

/// The bounds of each partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Batches that run at once.
    pub(super) workers: usize,
    /// Batches that may begin beside those while they seem to hang.
    pub(super) spare: usize,
    /// Jobs that may wait.
    pub(super) waiting: usize,
}

struct Shared<P, I, O> {
    kind: &'static str,
    bounds: Bounds,
    run: Box<Run<P, I, O>>,
    partitions: Mutex<HashMap<P, Partition<I, O>>>,
}

struct Partition<I, O> {
    waiting: VecDeque<Job<I, O>>,
    /// All, the resting ones too.
    workers: usize,
    /// Workers that rest, each with what wakes it.
    resting: Vec<Arc<Notify>>,
    /// Jobs that workers have in their hands.
    running_jobs: usize,
    /// When the last batch began.
    began: Instant,
    /// The subjects of those jobs; no other worker takes a job of one of them.
    running: HashSet<Uuid>,
}

impl<I, O> Default for Partition<I, O> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            workers: 0,
            resting: Vec::new(),
            running_jobs: 0,
            began: Instant::now(),
            running: HashSet::new(),
        }
    }
}

impl<I, O> Partition<I, O> {
    /// True if one more job with this caller may wait.
    fn has_room(&mut self, limit: usize, caller: Option<u64>) -> bool {
        let share = limit / 2;
        if self.waiting.len() < share {
            return true;
        }
        drop_abandoned(&mut self.waiting);
        let own = |caller| self.waiting.iter().filter(|job| job.order.caller == Some(caller)).count();
        self.waiting.len() < limit && caller.is_none_or(|caller| own(caller) < share)
    }

    /// True if the next batch is worth its fixed cost: otherwise whoever finishes first begins it. Nothing waits for ever,
    /// because somebody runs.
    fn is_large_enough(&self) -> bool {
        self.waiting.len() >= self.running_jobs.min(ENOUGH)
    }

    /// True if the workers seem to hang.
    fn is_hanging(&self) -> bool {
        self.began.elapsed() >= HANGING
    }

    /// Takes the jobs that a worker may run now: not those of a subject that another worker has, nor later ones of it.
    fn take(&mut self) -> Vec<Job<I, O>> {
        drop_abandoned(&mut self.waiting);
        let (mut batch, mut held) = (Vec::new(), VecDeque::new());
        while batch.len() < MOST
            && let Some(job) = self.waiting.pop_front()
        {
            if job.subject().is_some_and(|subject| self.running.contains(&subject)) {
                held.push_back(job);
            } else {
                batch.push(job);
            }
        }
        held.append(&mut self.waiting);
        self.waiting = held;
        self.running.extend(batch.iter().filter_map(Job::subject));
        self.running_jobs += batch.len();
        batch
    }
}

fn drop_abandoned<I, O>(waiting: &mut VecDeque<Job<I, O>>) {
    let before = waiting.len();
    waiting.retain(|job| !job.is_abandoned());
    let dropped = before - waiting.len();
    if dropped > 0 {
        metrics::counter!("switchboard_batch_abandoned_total").increment(dropped as u64);
    }
}

impl<P, I, O> Clone for Gatherer<P, I, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<P, I, O> Shared<P, I, O> {
    fn partitions(&self) -> MutexGuard<'_, HashMap<P, Partition<I, O>>> {
        // Nothing panics while it holds the lock.
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P, I, O> Gatherer<P, I, O>
where
    P: Clone + Eq + Hash + Send + Sync + 'static,
    I: Send + Sync + 'static,
    O: Send + 'static,
{
    /// Runs the jobs of each partition within these bounds; `kind` is a label of metrics.
    pub(super) fn new(
        kind: &'static str,
        bounds: Bounds,
        run: impl for<'a> Fn(&'a mut WorkerConnection, P, Vec<Job<I, O>>) -> BoxFuture<'a, ()> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared { kind, bounds, run: Box::new(run), partitions: Mutex::default() }))
    }

    /// Runs `item` with others of its partition. `None`: its batch panicked.
    ///
    /// # Errors
    /// [`Full`] if as many wait as may.
    pub(super) async fn submit(&self, partition: P, order: Order, item: I) -> Result<Option<O>, Full> {
        let (outcome, receiver) = oneshot::channel();
        self.add(partition, Job { item, order, outcome }, self.0.bounds.waiting)?;
        Ok(receiver.await.ok())
    }

    /// Takes over a job of another gatherer, behind those of its partition. It has had its turn there, so no limit holds.
    pub(super) fn pass(&self, partition: P, job: Job<I, O>) {
        let added = self.add(partition, job, usize::MAX);
        debug_assert!(added.is_ok(), "there is no limit");
    }

    /// True if a job of this partition waits or runs.
    pub(super) fn is_busy(&self, partition: &P) -> bool {
        self.0.partitions().get(partition).is_some_and(|here| here.running_jobs > 0 || !here.waiting.is_empty())
    }

    fn add(&self, partition: P, job: Job<I, O>, limit: usize) -> Result<(), Full> {
        {
            let mut partitions = self.0.partitions();
            let here = partitions.entry(partition.clone()).or_default();
            if !here.has_room(limit, job.order.caller) {
                return Err(Full);
            }
            // The worker that has the subject takes the job when it looks again.
            let is_held = job.subject().is_some_and(|subject| here.running.contains(&subject));
            here.waiting.push_back(job);
            let Bounds { workers, spare, .. } = self.0.bounds;
            let is_hanging = here.is_hanging();
            let most = if is_hanging { workers + spare } else { workers };
            if is_held || !(is_hanging || here.is_large_enough()) {
                return Ok(());
            }
            if let Some(resting) = here.resting.pop() {
                resting.notify_one();
                return Ok(());
            }
            if here.workers >= most {
                return Ok(());
            }
            here.workers += 1;
        }
        // Its handle is dropped: a worker ends when nothing waits, and a panic is caught inside. Boxed, so that the machinery
        // of a task is compiled once and not for each kind.
        tokio::spawn(Arc::clone(&self.0).work(partition).boxed());
        Ok(())
    }
}

impl<P, I, O> Shared<P, I, O>
where
    P: Clone + Eq + Hash,
{
    /// Runs one batch after the other until nothing waits.
    async fn work(self: Arc<Self>, partition: P) {
        let mut connection = WorkerConnection::default();
        let mut done = Done::default();
        loop {
            let batch = match self.next(&partition, &done, connection.may_rest()) {
                Next::Run(batch) => batch,
                Next::Rest(woken) => {
                    done = Done::default();
                    if timeout(REST, woken.notified()).await.is_err() && self.leave(&partition, &woken) {
                        return;
                    }
                    continue;
                }
                Next::End => return,
            };
            let size = u32::try_from(batch.len()).map_or(f64::MAX, f64::from);
            metrics::histogram!("switchboard_batch_size", "kind" => self.kind).record(size);
            done = Done { jobs: batch.len(), subjects: batch.iter().filter_map(Job::subject).collect() };
            let run = AssertUnwindSafe((self.run)(&mut connection, partition.clone(), batch)).catch_unwind().await;
            if run.is_err() {
                connection.release();
                tracing::error!(kind = self.kind, "a batch panicked");
            }
        }
    }

    /// What a worker does after `done`: it rests or ends where nothing waits, or only what another worker will take when it
    /// looks again. Decided under one lock, so that no job is left without a worker.
    fn next(&self, partition: &P, done: &Done, may_rest: bool) -> Next<I, O> {
        let mut partitions = self.partitions();
        let Some(here) = partitions.get_mut(partition) else { return Next::End };
        for subject in &done.subjects {
            here.running.remove(subject);
        }
        here.running_jobs -= done.jobs;
        let batch = if here.is_large_enough() || here.is_hanging() { here.take() } else { Vec::new() };
        here.began = Instant::now();
        if !batch.is_empty() {
            return Next::Run(batch);
        }
        if may_rest {
            let woken = Arc::new(Notify::new());
            here.resting.push(Arc::clone(&woken));
            return Next::Rest(woken);
        }
        end_worker(&mut partitions, partition);
        Next::End
    }

    /// Ends a worker that has rested; false if it was woken meanwhile.
    fn leave(&self, partition: &P, woken: &Arc<Notify>) -> bool {
        let mut partitions = self.partitions();
        let Some(here) = partitions.get_mut(partition) else { return true };
        let resting = here.resting.len();
        here.resting.retain(|resting| !Arc::ptr_eq(resting, woken));
        let was_resting = here.resting.len() < resting;
        if was_resting {
            end_worker(&mut partitions, partition);
        }
        was_resting
    }
}

/// Ends a worker; a partition without one is forgotten.
fn end_worker<P: Eq + Hash, I, O>(partitions: &mut HashMap<P, Partition<I, O>>, partition: &P) {
    if let Some(here) = partitions.get_mut(partition) {
        here.workers -= 1;
        if here.workers == 0 {
            partitions.remove(partition);
        }
    }
}

/// What a worker does next.
enum Next<I, O> {
    Run(Vec<Job<I, O>>),
    /// Wait for a moment, or for this.
    Rest(Arc<Notify>),
    End,
}

/// What a worker has finished.
#[derive(Default)]
struct Done {
    jobs: usize,
    subjects: Vec<Uuid>,
}

#[cfg(test)]
mod tests;
