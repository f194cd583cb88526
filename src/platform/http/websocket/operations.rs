//! The operations under way on one socket: a keyed set of streams, polled inside the socket's own task.
//!
//! Each stream has a waker of its own that puts it in line; only streams in line are polled, so a wake-up costs
//! the same beside one stream and beside a thousand. A stream that has given an item goes to the end of the line:
//! a hot one gets its turn like any other. Removing a stream drops it at once, wherever it is.
//!
//! A stream that panics ends as [`Outcome::Panicked`]; the others go on.

use std::{
    collections::{HashMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{Stream, StreamExt, stream::BoxStream, task::AtomicWaker};

use super::message::OperationId;

/// What became of a stream's turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome<T> {
    /// It gave an item and stays.
    Item(T),
    /// It ended and is gone.
    Ended,
    /// It panicked and is gone.
    Panicked,
}

/// The streams.
pub(super) struct Operations<T> {
    slots: HashMap<OperationId, Slot<T>>,
    line: Arc<Line>,
    /// How many of them give a single result.
    single: usize,
}

struct Slot<T> {
    stream: BoxStream<'static, T>,
    place: Arc<Place>,
    single: bool,
}

/// Streams that want to be polled, in order.
#[derive(Default)]
struct Line {
    places: Mutex<VecDeque<Arc<Place>>>,
    task: AtomicWaker,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Place>>> {
        // A panic cannot leave a VecDeque of Arcs half changed in a way that matters here.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream's waker. Weak: a waker that outlives its socket must not keep the line, which may hold it.
struct Place {
    id: OperationId,
    waiting: AtomicBool,
    line: Weak<Line>,
}

impl Place {
    fn enter(self: &Arc<Self>, line: &Line) {
        if !self.waiting.swap(true, Ordering::AcqRel) {
            line.lock().push_back(Arc::clone(self));
        }
    }
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        if let Some(line) = self.line.upgrade() {
            self.enter(&line);
            line.task.wake();
        }
    }
}

impl<T> Operations<T> {
    /// None yet; allocates next to nothing.
    pub(super) fn new() -> Self {
        Self { slots: HashMap::new(), line: Arc::default(), single: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How many queries and mutations are under way.
    pub(super) fn single(&self) -> usize {
        self.single
    }

    pub(super) fn contains(&self, id: &OperationId) -> bool {
        self.slots.contains_key(id)
    }

    /// Takes a stream in; an earlier one with this id is dropped.
    pub(super) fn insert(&mut self, id: OperationId, stream: BoxStream<'static, T>, single: bool) {
        self.remove(&id);
        let place =
            Arc::new(Place { id: id.clone(), waiting: AtomicBool::new(false), line: Arc::downgrade(&self.line) });
        place.enter(&self.line);
        self.single += usize::from(single);
        self.slots.insert(id, Slot { stream, place, single });
    }

    /// Drops a stream; true if there was one.
    pub(super) fn remove(&mut self, id: &OperationId) -> bool {
        let Some(slot) = self.slots.remove(id) else { return false };
        self.single -= usize::from(slot.single);
        if self.slots.is_empty() {
            self.slots.shrink_to_fit();
        }
        discard(slot.stream);
        true
    }

    /// Drops all streams.
    pub(super) fn clear(&mut self) {
        for (_, slot) in std::mem::take(&mut self.slots) {
            discard(slot.stream);
        }
        self.single = 0;
        *self.line.lock() = VecDeque::new();
    }

    /// Gives the next stream in line its turn. Pending while none has anything.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<(OperationId, Outcome<T>)> {
        if self.slots.is_empty() {
            return Poll::Pending;
        }
        self.line.task.register(context.waker());
        // Those that enter the line meanwhile wait for the next call, so that a stream which wakes itself
        // without giving anything cannot hold the task.
        let turns = self.line.lock().len();
        for _ in 0..turns {
            let Some(place) = self.line.lock().pop_front() else { return Poll::Pending };
            // Before the poll: a wake-up during it must put the stream in line again.
            place.waiting.store(false, Ordering::Release);
            // A place whose stream was removed or replaced may still stand in line.
            let Some(slot) = self.slots.get_mut(&place.id).filter(|slot| Arc::ptr_eq(&slot.place, &place)) else {
                continue;
            };
            let outcome = match poll(&mut slot.stream, &place) {
                Poll::Pending => continue,
                Poll::Ready(outcome) => outcome,
            };
            if let Outcome::Item(_) = outcome {
                place.enter(&self.line);
            } else {
                self.remove(&place.id);
            }
            return Poll::Ready((place.id.clone(), outcome));
        }
        if !self.line.lock().is_empty() {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

fn poll<T>(stream: &mut (impl Stream<Item = T> + Unpin), place: &Arc<Place>) -> Poll<Outcome<T>> {
    let waker = Waker::from(Arc::clone(place));
    let polled = catch_unwind(AssertUnwindSafe(|| stream.poll_next_unpin(&mut Context::from_waker(&waker))));
    match polled {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(Some(item))) => Poll::Ready(Outcome::Item(item)),
        Ok(Poll::Ready(None)) => Poll::Ready(Outcome::Ended),
        Err(_) => Poll::Ready(Outcome::Panicked),
    }
}

/// Drops a stream; what it does while it is dropped must not reach the socket.
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
    fn a_hot_stream_gets_its_turn_and_no_more() {
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
    fn removing_drops_at_once_and_a_stale_place_is_skipped() {
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
    fn a_panic_ends_one_stream_only() {
        let mut operations = Operations::new();
        operations.insert(id("bad"), stream::poll_fn(|_| -> Poll<Option<u32>> { panic!("on purpose") }).boxed(), true);
        operations.insert(id("good"), stream::iter([1]).boxed(), false);
        let outcomes: Vec<_> = std::iter::from_fn(|| next(&mut operations)).collect();
        let expected = [("bad", Outcome::Panicked), ("good", Outcome::Item(1)), ("good", Outcome::Ended)];
        assert_eq!(outcomes, expected.map(|(id, outcome)| (id.to_owned(), outcome)));
        assert_eq!((operations.len(), operations.single()), (0, 0));
    }

    #[test]
    fn a_stream_that_wakes_itself_does_not_hold_the_task() {
        let mut operations = Operations::<u32>::new();
        let restless = stream::poll_fn(|context| {
            context.waker().wake_by_ref();
            Poll::Pending
        });
        operations.insert(id("restless"), restless.boxed(), false);
        assert_eq!(next(&mut operations), None);
    }
}
