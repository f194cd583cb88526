//! One read of the log while its pieces arrive. Memory holds the events that somebody wants, up to a bound.
//!
//! ```text
//! pieces ──► wanted by any queue? ── no ──► let go
//!                └ yes ──► kept until the end of the read ──► Hub::deliver, all at once
//!                          over the bound: every queue that wants one of them lags, nothing is kept any more
//! ```
//!
//! A queue gets all its events of a read or none of them. Those it gets none of, its subscription reads from the log, page
//! by page, from the position before the read. To get them in several deliveries would not do: a read has no position in
//! its middle, so a subscription that lagged there would receive events twice.

use std::{collections::HashSet, sync::Arc};

use super::{Hub, Read};
use crate::platform::event::{Event, Position};

/// The events of one read, as far as they are known.
pub(in crate::platform::event) struct Gathering<'h> {
    hub: &'h Hub,
    before: &'h Position,
    most_bytes: usize,
    wanted: Vec<Arc<Event>>,
    bytes: usize,
    /// Once the bound was passed: the queues that lag, by address.
    lagging: Option<HashSet<usize>>,
}

impl Hub {
    /// Begins a read from `before`; at most about `most_bytes` of its events are kept in memory.
    pub(in crate::platform::event) fn gather<'h>(&'h self, before: &'h Position, most_bytes: usize) -> Gathering<'h> {
        Gathering { hub: self, before, most_bytes, wanted: Vec::new(), bytes: 0, lagging: None }
    }
}

impl Gathering<'_> {
    /// Adds the next events of the read.
    pub(in crate::platform::event) fn add(&mut self, piece: Vec<Event>) {
        if self.lagging.is_some() {
            self.lag(&piece.into_iter().map(Arc::new).collect::<Vec<_>>());
            return;
        }
        // A queue that is registered later misses nothing: the state that its subscription reads contains this read.
        let routes = self.hub.routes();
        let wanted = piece.into_iter().filter(|event| routes.queues(event).next().is_some());
        for event in wanted {
            self.bytes += event.bytes();
            self.wanted.push(Arc::new(event));
        }
        drop(routes);
        if self.bytes > self.most_bytes {
            self.lagging = Some(HashSet::new());
            let wanted = std::mem::take(&mut self.wanted);
            self.lag(&wanted);
        }
    }

    /// Has every queue that wants one of `events` lag. Each once: its subscription's next read of the log is newer than
    /// this read, and contains all of it.
    fn lag(&mut self, events: &[Arc<Event>]) {
        let Some(lagging) = &mut self.lagging else { return };
        let routes = self.hub.routes();
        for queue in events.iter().flat_map(|event| routes.queues(event)) {
            if lagging.insert(Arc::as_ptr(queue).addr()) {
                queue.lag(self.before);
            }
        }
    }

    /// Ends the read: delivers what was kept, and moves the hub's position to `after`.
    pub(in crate::platform::event) fn finish(self, after: Position) {
        if self.wanted.is_empty() {
            self.hub.set_position(after);
        } else {
            self.hub.deliver(&self.wanted, Read { before: self.before.clone(), after });
        }
    }
}
