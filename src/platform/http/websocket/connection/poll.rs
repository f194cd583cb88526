//! The sources that a socket's task waits for, in the order in which they are polled.

use std::task::{Context, Poll, ready};

use axum::extract::ws::Message;
use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::{Connection, Event, PROBE, Probe};
use crate::platform::http::websocket::{deadlines::Due, socket::ConnectionLost};

impl Connection {
    /// The next event to handle. Sources that have not woken the task are not polled.
    pub(super) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        match self.socket.poll_write(context) {
            Ok(count) => self.metrics.sent(count),
            Err(ConnectionLost) => return Poll::Ready(Event::Lost),
        }
        let taken = self.socket.take_progress();
        let now = Instant::now();
        self.deadlines.queue(now, self.socket.queue.is_full(), taken);
        // Before reading: no operation may start after the credential has expired.
        if let Poll::Ready(ending) = self.poll_ending(context) {
            return Poll::Ready(ending);
        }
        if let Poll::Ready(due) = self.poll_due(now, context) {
            return Poll::Ready(Event::Due(due));
        }
        self.operations_first = !self.operations_first;
        for turn in [self.operations_first, !self.operations_first] {
            let polled = if turn { self.poll_operations(context) } else { self.poll_client(context) };
            if polled.is_ready() {
                return polled;
            }
        }
        match self.socket.poll_flush(context) {
            Poll::Ready(Err(ConnectionLost)) => Poll::Ready(Event::Lost),
            Poll::Ready(Ok(())) => {
                self.probe(context);
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// After all that was queued was written: has the client show that it has received it, if a bookmark depends on that.
    /// The kernel takes what is written also when the client is gone.
    fn probe(&mut self, context: &Context<'_>) {
        let is_due = self.probe == Probe::None && !self.closing && self.socket.queue.is_empty();
        if is_due && self.session.as_ref().is_some_and(|session| session.written()) {
            self.probe = Probe::UnderWay;
            self.socket.queue.push_frame(Message::Ping(PROBE.into()));
            // To be written at once.
            context.waker().wake_by_ref();
        }
    }

    fn poll_ending(&mut self, context: &Context<'_>) -> Poll<Event> {
        let Self { ending_woken, expiry, drain, .. } = self;
        ending_woken.poll(context, |context| {
            if let Some(Poll::Ready(why)) = expiry.as_mut().map(|expiry| expiry.poll_unpin(context)) {
                return Poll::Ready(Event::Expired(why));
            }
            match drain.as_mut().map(|drain| drain.poll_unpin(context)) {
                Some(Poll::Ready(())) => Poll::Ready(Event::Drain),
                _ => Poll::Pending,
            }
        })
    }

    /// While the send queue is full no stream is polled: results wait at their source until the client has read.
    fn poll_operations(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if self.socket.queue.is_full() {
            return Poll::Pending;
        }
        self.operations.poll_next(context).map(|(id, outcome)| Event::Outcome(id, outcome))
    }

    fn poll_client(&mut self, context: &Context<'_>) -> Poll<Event> {
        let Self { client_woken, authenticating, socket, .. } = self;
        client_woken.poll(context, |context| match authenticating {
            Some(caller) => caller.poll_unpin(context).map(Event::Caller),
            None => socket.poll_read(context).map(Event::Read),
        })
    }

    /// Deadlines move further away with every message, so the timer may fire early. It never fires late.
    fn poll_due(&mut self, mut now: Instant, context: &Context<'_>) -> Poll<Due> {
        loop {
            let (at, due) = self.deadlines.next(&self.settings);
            if at <= now {
                return Poll::Ready(due);
            }
            if at < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(at);
                self.timer_woken.set();
            }
            let Self { timer_woken, timer, .. } = self;
            ready!(timer_woken.poll(context, |context| timer.as_mut().poll(context)));
            now = Instant::now();
        }
    }
}
