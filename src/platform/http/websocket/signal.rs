//! A waker that remembers that it was woken: so that a socket's task, which waits for many things, polls only what has
//! something new. Polling the reader alone costs a system call.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Stands between one source and the task.
#[derive(Debug)]
pub(super) struct Signal(Arc<Inner>);

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

impl Signal {
    /// Woken: a source must be polled once to know its waker.
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner { woken: AtomicBool::new(true), task: AtomicWaker::new() }))
    }

    /// Has the source polled the next time, whether it has woken the task or not: there is another source now.
    pub(super) fn renew(&self) {
        self.0.woken.store(true, Ordering::Release);
    }

    /// Polls the source if it has woken the task since it was last pending.
    pub(super) fn poll<T>(&self, context: &Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.0.task.register(context.waker());
        // Before the poll: a wake-up during it must count.
        if !self.0.woken.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&self.0));
        let polled = poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            // There may be more.
            self.renew();
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use futures_util::task::noop_waker;

    use super::*;

    #[test]
    fn a_source_is_polled_when_it_has_something_new_and_only_then() {
        let signal = Signal::new();
        let mut polls = 0;
        let mut poll = |answer: Poll<()>| {
            let noop = noop_waker();
            let mut waker = None;
            let polled = signal.poll(&Context::from_waker(&noop), |context| {
                polls += 1;
                waker = Some(context.waker().clone());
                answer
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
