//! The open operations of one socket: streams by operation id, polled inside the socket's task.
//!
//! ```text
//! a stream's waker ──► ready queue (first in, first out) ──► poll_next polls the first stream
//!                           ▲                                      │ item
//!                           └──────── back to the end ◄────────────┘
//! ```
//! - Streams are polled for the first time in the order in which they came. A mutation enters its batch at its first poll,
//!   and batches keep the order of the calls for one subject: so mutations of one subject that a client sends without
//!   waiting take effect in the order in which it sent them. No stream waits for another.
//! - Queries and mutations are polled outside the runtime's budget of a task. A mutation that it sent back before it had
//!   entered its batch would lose its place: the runtime wakes those that it sent back in the reverse order.
//! - Only streams in the ready queue are polled, so a wake-up costs the same whatever the number of idle streams.
//! - A stream that gave an item goes to the end of the queue, so a stream that is always ready does not starve others.
//! - Removing a stream drops it at once.
//! - A stream that panics ends as [`Outcome::Panicked`]; the others continue.
//!
//! `docs/transports.md` has the figures of the libraries that were tried in its place.

use std::{
    collections::{HashMap, VecDeque},
    future::Future as _,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{Stream, StreamExt, stream::BoxStream, task::AtomicWaker};
use tokio::task::coop;

use super::message::OperationId;

/// The result of polling a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome<T> {
    /// The stream gave an item and remains.
    Item(T),
    /// The stream ended and was removed.
    Ended,
    /// The stream panicked and was removed.
    Panicked,
}

/// Streams by operation id, with their ready queue.
pub(super) struct Operations<T> {
    streams: HashMap<OperationId, Entry<T>>,
    ready: Arc<ReadyQueue>,
    /// The number of queries and mutations among them.
    single: usize,
}

struct Entry<T> {
    stream: BoxStream<'static, T>,
    waker: Arc<StreamWaker>,
    single: bool,
}

/// The streams to poll, in order.
#[derive(Default)]
struct ReadyQueue {
    wakers: Mutex<VecDeque<Arc<StreamWaker>>>,
    task: AtomicWaker,
}

impl ReadyQueue {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<StreamWaker>>> {
        // Nothing panics while it holds the lock.
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The waker of one stream. The queue is weak: the queue may hold this waker, and a waker may outlive its socket.
struct StreamWaker {
    id: OperationId,
    /// True while it is in the queue, so that it is there once.
    queued: AtomicBool,
    ready: Weak<ReadyQueue>,
}

impl StreamWaker {
    fn enqueue(self: &Arc<Self>, ready: &ReadyQueue) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            ready.lock().push_back(Arc::clone(self));
        }
    }
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        if let Some(ready) = self.ready.upgrade() {
            self.enqueue(&ready);
            ready.task.wake();
        }
    }
}

impl<T> Operations<T> {
    /// No streams; one small allocation.
    pub(super) fn new() -> Self {
        Self { streams: HashMap::new(), ready: Arc::default(), single: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// The number of open queries and mutations.
    pub(super) fn single(&self) -> usize {
        self.single
    }

    pub(super) fn contains(&self, id: &OperationId) -> bool {
        self.streams.contains_key(id)
    }

    /// Adds a stream. An earlier stream with this id is dropped. `single` is true for a query or mutation.
    pub(super) fn insert(&mut self, id: OperationId, stream: BoxStream<'static, T>, single: bool) {
        self.remove(&id);
        let waker = Arc::new(StreamWaker {
            id: id.clone(),
            queued: AtomicBool::new(false),
            ready: Arc::downgrade(&self.ready),
        });
        waker.enqueue(&self.ready);
        self.single += usize::from(single);
        self.streams.insert(id, Entry { stream, waker, single });
    }

    /// Drops a stream; false if there is none with this id.
    pub(super) fn remove(&mut self, id: &OperationId) -> bool {
        let Some(entry) = self.streams.remove(id) else { return false };
        self.single -= usize::from(entry.single);
        if self.streams.is_empty() {
            self.streams.shrink_to_fit();
        }
        discard(entry.stream);
        true
    }

    /// Drops all streams.
    pub(super) fn clear(&mut self) {
        for (_, entry) in std::mem::take(&mut self.streams) {
            discard(entry.stream);
        }
        self.single = 0;
        *self.ready.lock() = VecDeque::new();
    }

    /// Polls the ready streams in order until one gives an item or ends. Pending when none does.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<(OperationId, Outcome<T>)> {
        if self.streams.is_empty() {
            return Poll::Pending;
        }
        self.ready.task.register(context.waker());
        // Streams that are queued meanwhile wait for the next call, so that a stream that only wakes itself cannot keep
        // the task busy.
        let turns = self.ready.lock().len();
        for _ in 0..turns {
            let Some(waker) = self.ready.lock().pop_front() else { return Poll::Pending };
            // Cleared before the poll, so that a wake-up during the poll queues the stream again.
            waker.queued.store(false, Ordering::Release);
            // The queue may still hold the waker of a stream that was removed or replaced.
            let Some(entry) = self.streams.get_mut(&waker.id).filter(|entry| Arc::ptr_eq(&entry.waker, &waker)) else {
                continue;
            };
            let outcome = match poll(&mut entry.stream, entry.single, &waker) {
                Poll::Pending => continue,
                Poll::Ready(outcome) => outcome,
            };
            if let Outcome::Item(_) = outcome {
                waker.enqueue(&self.ready);
            } else {
                self.remove(&waker.id);
            }
            return Poll::Ready((waker.id.clone(), outcome));
        }
        if !self.ready.lock().is_empty() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

fn poll<T>(stream: &mut (impl Stream<Item = T> + Unpin), single: bool, waker: &Arc<StreamWaker>) -> Poll<Outcome<T>> {
    let waker = Waker::from(Arc::clone(waker));
    let context = &mut Context::from_waker(&waker);
    let polled = catch_unwind(AssertUnwindSafe(|| {
        if single { pin!(coop::unconstrained(stream.next())).poll(context) } else { stream.poll_next_unpin(context) }
    }));
    match polled {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(Some(item))) => Poll::Ready(Outcome::Item(item)),
        Ok(Poll::Ready(None)) => Poll::Ready(Outcome::Ended),
        Err(_) => Poll::Ready(Outcome::Panicked),
    }
}

/// Drops a stream. A panic of its destructor ends here, so that it cannot end the socket.
fn discard<T>(stream: BoxStream<'static, T>) {
    if catch_unwind(AssertUnwindSafe(|| drop(stream))).is_err() {
        tracing::error!("an operation panicked while it was dropped");
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures_util::{stream, task::noop_waker};
    use tokio::sync::mpsc;

    use super::*;

    fn id(text: &str) -> OperationId {
        let raw = serde_json::value::to_raw_value(text).unwrap();
        OperationId::read(Some(&raw), false).unwrap()
    }

    fn next(operations: &mut Operations<u32>) -> Option<(String, Outcome<u32>)> {
        match operations.poll_next(&mut Context::from_waker(&noop_waker())) {
            Poll::Ready((id, outcome)) => Some((id.to_string(), outcome)),
            Poll::Pending => None,
        }
    }

    fn channel() -> (mpsc::UnboundedSender<u32>, BoxStream<'static, u32>) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        (sender, stream::poll_fn(move |context| receiver.poll_recv(context)).boxed())
    }

    #[test]
    fn a_stream_that_is_always_ready_takes_turns_with_others() {
        let mut operations = Operations::new();
        operations.insert(id("hot"), stream::repeat(0).boxed(), false);
        let (sender, quiet) = channel();
        operations.insert(id("quiet"), quiet, false);
        for n in 1..=3 {
            sender.send(n).unwrap();
        }
        let turns: Vec<_> = (0..6).map(|_| next(&mut operations).unwrap().0).collect();
        assert_eq!(turns, ["hot", "quiet", "hot", "quiet", "hot", "quiet"]);
    }

    #[test]
    fn streams_begin_in_the_order_in_which_they_came() {
        let began = Arc::new(Mutex::new(Vec::new()));
        let mut operations = Operations::new();
        operations.insert(id("hot"), stream::repeat(0).boxed(), false);
        for n in 0..100 {
            let (began, mut first) = (Arc::clone(&began), true);
            let single = stream::poll_fn(move |context| {
                if std::mem::take(&mut first) {
                    began.lock().unwrap().push(n);
                    // Woken at once, as by a result that is there already.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(None::<u32>)
            });
            operations.insert(id(&format!("mutation {n}")), single.boxed(), true);
            if n % 7 == 0 {
                assert!(next(&mut operations).is_some());
            }
        }
        while operations.single() > 0 {
            assert!(next(&mut operations).is_some());
        }
        assert_eq!(*began.lock().unwrap(), (0..100).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn mutations_keep_their_order_also_when_they_use_up_the_budget_of_a_task() {
        // Each takes a place in each of two gates before it has its effect, as on the way to its batch.
        let gate = Arc::new(tokio::sync::Semaphore::new(1_000));
        let effects = Arc::new(Mutex::new(Vec::new()));
        let mut operations = Operations::<u32>::new();
        for n in 0..100 {
            let (gate, effects) = (Arc::clone(&gate), Arc::clone(&effects));
            let mutation = stream::once(async move {
                let _places = (gate.acquire().await.unwrap(), gate.acquire().await.unwrap());
                effects.lock().unwrap().push(n);
                n
            });
            operations.insert(id(&format!("mutation {n}")), mutation.boxed(), true);
        }
        tokio::spawn(async move {
            while operations.single() > 0 {
                std::future::poll_fn(|context| operations.poll_next(context)).await;
            }
        })
        .await
        .unwrap();
        assert_eq!(*effects.lock().unwrap(), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn only_woken_streams_are_polled() {
        let polls = Arc::new(AtomicUsize::new(0));
        let mut operations = Operations::new();
        for n in 0..1_000 {
            let polls = Arc::clone(&polls);
            let pending = stream::poll_fn(move |_| {
                polls.fetch_add(1, Ordering::Relaxed);
                Poll::Pending
            });
            operations.insert(id(&format!("idle {n}")), pending.boxed(), false);
        }
        let (sender, busy) = channel();
        operations.insert(id("busy"), busy, false);
        assert_eq!(next(&mut operations), None);
        sender.send(7).unwrap();
        assert_eq!(next(&mut operations), Some(("busy".into(), Outcome::Item(7))));
        assert_eq!(polls.load(Ordering::Relaxed), 1_000);
    }

    #[test]
    fn a_removed_stream_is_dropped_at_once_and_its_queued_waker_ignored() {
        let mut operations = Operations::new();
        let (sender, stream) = channel();
        operations.insert(id("a"), stream, true);
        assert_eq!(next(&mut operations), None);
        sender.send(1).unwrap();
        assert!(operations.remove(&id("a")) && sender.is_closed());
        assert_eq!((operations.len(), operations.single()), (0, 0));
        let (_sender, stream) = channel();
        operations.insert(id("a"), stream, false);
        assert_eq!(next(&mut operations), None);
        assert!(!operations.remove(&id("b")));
    }

    #[test]
    fn a_panic_ends_only_its_own_stream() {
        let mut operations = Operations::new();
        operations.insert(id("bad"), stream::poll_fn(|_| -> Poll<Option<u32>> { panic!("on purpose") }).boxed(), true);
        operations.insert(id("good"), stream::iter([1]).boxed(), false);
        let outcomes: Vec<_> = std::iter::from_fn(|| next(&mut operations)).collect();
        let expected = [("bad", Outcome::Panicked), ("good", Outcome::Item(1)), ("good", Outcome::Ended)];
        assert_eq!(outcomes, expected.map(|(id, outcome)| (id.to_owned(), outcome)));
        assert_eq!((operations.len(), operations.single()), (0, 0));
    }

    #[test]
    fn a_stream_that_only_wakes_itself_does_not_block_the_task() {
        let mut operations = Operations::<u32>::new();
        let self_waking = stream::poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::Pending
        });
        operations.insert(id("self-waking"), self_waking.boxed(), false);
        assert_eq!(next(&mut operations), None);
    }
}
