//! What a socket's task waits for, and in which order it looks.

use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::{Connection, Event};
use crate::platform::http::websocket::{pulse::Due, wire::Lost};

impl Connection {
    /// The next thing to be handled. Sources that have not woken the task are left alone.
    pub(super) fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        match self.wire.poll_write(context) {
            Ok(count) => self.meter.sent(count),
            Err(Lost) => return Poll::Ready(Event::Lost),
        }
        let moved = self.wire.moved();
        let now = Instant::now();
        self.pulse.outbox(now, self.wire.outbox.is_full(), moved);
        // Before the reader: nothing may begin after the credential has expired.
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
        match self.wire.poll_flush(context) {
            Poll::Ready(Err(Lost)) => Poll::Ready(Event::Lost),
            _ => Poll::Pending,
        }
    }

    fn poll_ending(&mut self, context: &Context<'_>) -> Poll<Event> {
        let Self { ending, expiry, drain, .. } = self;
        ending.poll(context, |context| {
            if let Some(Poll::Ready(why)) = expiry.as_mut().map(|expiry| expiry.poll_unpin(context)) {
                return Poll::Ready(Event::Lapsed(why));
            }
            match drain.as_mut().map(|drain| drain.poll_unpin(context)) {
                Some(Poll::Ready(())) => Poll::Ready(Event::Drain),
                _ => Poll::Pending,
            }
        })
    }

    /// A full outbox leaves the streams alone: they hold what they have until the reader has caught up.
    fn poll_operations(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if self.wire.outbox.is_full() {
            return Poll::Pending;
        }
        self.operations.poll_next(context).map(|(id, outcome)| Event::Outcome(id, outcome))
    }

    fn poll_client(&mut self, context: &Context<'_>) -> Poll<Event> {
        let Self { client, authenticating, wire, .. } = self;
        client.poll(context, |context| match authenticating {
            Some(caller) => caller.poll_unpin(context).map(Event::Caller),
            None => wire.poll_read(context).map(Event::Read),
        })
    }

    /// The timer may be early, as deadlines move away with every message, but is never late.
    fn poll_due(&mut self, mut now: Instant, context: &Context<'_>) -> Poll<Due> {
        loop {
            let (at, due) = self.pulse.next(&self.settings);
            if at <= now {
                return Poll::Ready(due);
            }
            if at < self.timer.deadline() || self.timer.is_elapsed() {
                self.timer.as_mut().reset(at);
                self.due.renew();
            }
            let Self { due, timer, .. } = self;
            ready!(due.poll(context, |context| timer.as_mut().poll(context)));
            now = Instant::now();
        }
    }
}
