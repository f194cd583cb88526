//! Collects items while a batch of earlier ones runs.
//!
//! ```text
//! submit ─► partition ─┐ at most `workers` tasks, each with a connection that it keeps
//! submit ─►            ├─► run(items) ─► one outcome for each item
//! submit ─►            ┘
//! ```

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::sync::oneshot;

use super::connection::WorkerConnection;

/// Most items in one batch: beyond it the rows cost more than the round trips that they share.
const MOST: usize = 128;

/// Runs some items of one partition; one outcome for each, in order. Missing outcomes are `None`.
type Run<P, I, O> = dyn for<'a> Fn(&'a mut WorkerConnection, P, &'a [I]) -> BoxFuture<'a, Vec<Option<O>>> + Send + Sync;

/// Items of each partition, run in batches. Cheap to clone.
pub(super) struct Gatherer<P, I, O>(Arc<Shared<P, I, O>>);

struct Shared<P, I, O> {
    kind: &'static str,
    workers: usize,
    run: Box<Run<P, I, O>>,
    partitions: Mutex<HashMap<P, Partition<I, O>>>,
}

/// An item, and where its outcome goes.
type Waiting<I, O> = (I, oneshot::Sender<Option<O>>);

struct Partition<I, O> {
    waiting: VecDeque<Waiting<I, O>>,
    workers: usize,
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
    /// At most `workers` batches of one partition run at once; `kind` is a label of metrics.
    pub(super) fn new(
        kind: &'static str,
        workers: usize,
        run: impl for<'a> Fn(&'a mut WorkerConnection, P, &'a [I]) -> BoxFuture<'a, Vec<Option<O>>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared { kind, workers, run: Box::new(run), partitions: Mutex::default() }))
    }

    /// Runs `item` with others of its partition. `None`: the batch had no outcome for it, or panicked.
    pub(super) async fn submit(&self, partition: P, item: I) -> Option<O> {
        let (sender, outcome) = oneshot::channel();
        let starts_worker = {
            let mut partitions = self.0.partitions();
            let here = partitions
                .entry(partition.clone())
                .or_insert_with(|| Partition { waiting: VecDeque::new(), workers: 0 });
            here.waiting.push_back((item, sender));
            let starts = here.workers < self.0.workers;
            here.workers += usize::from(starts);
            starts
        };
        if starts_worker {
            // Its handle is dropped: a worker ends when nothing waits, and a panic is caught inside.
            tokio::spawn(Arc::clone(&self.0).work(partition));
        }
        outcome.await.ok().flatten()
    }
}

impl<P, I, O> Shared<P, I, O>
where
    P: Clone + Eq + Hash,
{
    /// Runs one batch after the other until nothing waits.
    async fn work(self: Arc<Self>, partition: P) {
        let mut connection = WorkerConnection::default();
        while let Some(batch) = self.next(&partition) {
            let size = u32::try_from(batch.len()).map_or(f64::MAX, f64::from);
            metrics::histogram!("switchboard_batch_size", "kind" => self.kind).record(size);
            let (items, senders): (Vec<I>, Vec<_>) = batch.into_iter().unzip();
            let run = AssertUnwindSafe((self.run)(&mut connection, partition.clone(), &items)).catch_unwind();
            let mut outcomes = run.await.unwrap_or_else(|_| {
                connection.release();
                tracing::error!(kind = self.kind, "a batch panicked");
                Vec::new()
            });
            outcomes.resize_with(senders.len(), || None);
            for (sender, outcome) in senders.into_iter().zip(outcomes) {
                // Fails if the caller went away; the outcome is then of no use to anybody.
                let _ = sender.send(outcome);
            }
        }
    }

    /// The items that wait, or `None` when this worker is to end. Decided under one lock, so that no item is left without
    /// a worker.
    fn next(&self, partition: &P) -> Option<Vec<Waiting<I, O>>> {
        let mut partitions = self.partitions();
        let here = partitions.get_mut(partition)?;
        if here.waiting.is_empty() {
            here.workers -= 1;
            if here.workers == 0 {
                partitions.remove(partition);
            }
            return None;
        }
        let size = here.waiting.len().min(MOST);
        Some(here.waiting.drain(..size).collect())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    /// How many items each batch had, in the order in which the batches ran.
    type Sizes = Arc<Mutex<Vec<usize>>>;

    /// Each batch waits for a permit; it doubles even numbers, has no outcome for odd ones, and panics at 13.
    fn gated() -> (Gatherer<&'static str, u32, u32>, Arc<Semaphore>, Sizes) {
        let gate = Arc::new(Semaphore::new(0));
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let (inner_gate, inner_sizes) = (Arc::clone(&gate), Arc::clone(&sizes));
        let gatherer = Gatherer::new("test", 2, move |_, _, items: &[u32]| {
            let (gate, sizes) = (Arc::clone(&inner_gate), Arc::clone(&inner_sizes));
            async move {
                gate.acquire().await.unwrap().forget();
                sizes.lock().unwrap().push(items.len());
                assert!(!items.contains(&13), "the test's panic");
                items.iter().map(|item| (item % 2 == 0).then_some(item * 2)).collect()
            }
            .boxed()
        });
        (gatherer, gate, sizes)
    }

    #[tokio::test]
    async fn items_that_arrive_during_a_batch_are_the_next_one() {
        let (gatherer, gate, sizes) = gated();
        let mut items: Vec<_> = (0..10).map(|item| Box::pin(gatherer.submit("partition", item))).collect();
        for item in &mut items {
            assert!(futures_util::poll!(item.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        gate.add_permits(3);
        let outcomes = futures_util::future::join_all(items).await;
        let expected: Vec<_> = (0..10).map(|item| (item % 2 == 0).then_some(item * 2)).collect();
        assert_eq!(outcomes, expected, "each item has its own outcome");
        let mut sizes = sizes.lock().unwrap().clone();
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 1, 8], "two began at once, the others gathered");
        assert!(gatherer.0.partitions().is_empty(), "an idle partition is forgotten");
    }

    #[tokio::test]
    async fn a_caller_that_leaves_cancels_no_item_and_a_panic_costs_only_its_batch() {
        let (gatherer, gate, sizes) = gated();
        let mut first = Box::pin(gatherer.submit("partition", 2));
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        tokio::task::yield_now().await;
        let mut panics = Box::pin(gatherer.submit("partition", 13));
        assert!(futures_util::poll!(panics.as_mut()).is_pending());
        tokio::task::yield_now().await;
        drop(first);
        let mut last = Box::pin(gatherer.submit("partition", 4));
        assert!(futures_util::poll!(last.as_mut()).is_pending());
        gate.add_permits(3);
        assert_eq!(panics.await, None);
        assert_eq!(last.await, Some(8));
        assert_eq!(*sizes.lock().unwrap(), [1, 1, 1], "the item of the caller that left was run too");
        assert!(gatherer.0.partitions().is_empty());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn partitions_do_not_wait_for_each_other_and_no_item_is_lost() {
        let written = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&written);
        let gatherer: Gatherer<usize, usize, usize> = Gatherer::new("test", 2, move |_, partition, items: &[usize]| {
            let count = Arc::clone(&count);
            async move {
                count.fetch_add(items.len(), Ordering::Relaxed);
                tokio::task::yield_now().await;
                items.iter().map(|item| Some(partition + item)).collect()
            }
            .boxed()
        });
        let tasks: Vec<_> = (0..2_000)
            .map(|item| {
                let gatherer = gatherer.clone();
                tokio::spawn(async move { (item, gatherer.submit(item % 3, item).await) })
            })
            .collect();
        for task in tasks {
            let (item, outcome) = task.await.unwrap();
            assert_eq!(outcome, Some(item % 3 + item));
        }
        assert_eq!(written.load(Ordering::Relaxed), 2_000);
        assert!(gatherer.0.partitions().is_empty());
    }
}
