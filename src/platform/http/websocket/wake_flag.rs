//! A flag that a source's waker sets.
//!
//! A socket's task waits for many sources, and its own waker does not show which of them woke it. With a [`WakeFlag`]
//! for each source the task polls only sources that have woken it. Polling the socket for reading alone is a system
//! call.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Set while its source must be polled; sits between the source's waker and the task's.
#[derive(Debug)]
pub(super) struct WakeFlag(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    woken: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl WakeFlag {
    /// A set flag: a source must be polled once to register its waker.
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner { woken: AtomicBool::new(true), task: AtomicWaker::new() }))
    }

    /// Makes the next [`WakeFlag::poll`] poll the source. Needed when the source is replaced by another.
    pub(super) fn set(&self) {
        self.0.woken.store(true, Ordering::Release);
    }

    /// Polls the source if it has woken the task since it was last pending; otherwise returns pending.
    pub(super) fn poll<T>(&self, context: &Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.0.task.register(context.waker());
        // Cleared before the poll, so that a wake-up during the poll sets it again.
        if !self.0.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&self.0));
        let polled = poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            // The source may have another item, and only a pending source registers its waker.
            self.set();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker;

    use super::*;

    #[test]
    fn a_source_is_polled_only_after_it_was_ready_or_woke_the_task() {
        let flag = WakeFlag::new();
        let mut polls = 0;
        let mut poll = |result: Poll<()>| {
            let noop = noop_waker();
            let mut waker = None;
            let polled = flag.poll(&Context::from_waker(&noop), |context| {
                polls += 1;
                waker = Some(context.waker().clone());
                result
            });
            (polled, waker, polls)
        };
        assert!(matches!(poll(Poll::Ready(())), (Poll::Ready(()), Some(_), 1)));
        let (Poll::Pending, Some(waker), 2) = poll(Poll::Pending) else { panic!("there may be more after the first") };
        assert!(matches!(poll(Poll::Ready(())), (Poll::Pending, None, 2)), "nothing new");
        waker.wake();
        assert!(matches!(poll(Poll::Pending), (Poll::Pending, Some(_), 3)));
        assert!(matches!(poll(Poll::Ready(())), (Poll::Pending, None, 3)));
    }
}
