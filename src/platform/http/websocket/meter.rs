//! Metrics of sockets, by protocol.
//!
//! | metric | kind | labels |
//! | --- | --- | --- |
//! | `switchboard_websocket_sockets` | gauge | protocol |
//! | `switchboard_websocket_operations` | gauge | protocol |
//! | `switchboard_websocket_messages_total` | counter | protocol, direction (in, out) |
//! | `switchboard_websocket_closes_total` | counter | protocol, code (a close code of ours, `client`, `lost`, `silent`) |
//! | `switchboard_websocket_refused_total` | counter | reason (full, draining, origin) |

use metrics::{Counter, Gauge, counter, gauge};

/// One socket's share of the metrics; what it added to gauges goes when it is dropped.
pub(super) struct Meter {
    protocol: &'static str,
    sockets: Gauge,
    operations: Gauge,
    counted: usize,
    received: Counter,
    sent: Counter,
}

impl Meter {
    /// Counts a socket.
    pub(super) fn new(protocol: &'static str) -> Self {
        let messages = |direction: &'static str| counter!("switchboard_websocket_messages_total", "protocol" => protocol, "direction" => direction);
        let sockets = gauge!("switchboard_websocket_sockets", "protocol" => protocol);
        sockets.increment(1);
        Self {
            protocol,
            sockets,
            operations: gauge!("switchboard_websocket_operations", "protocol" => protocol),
            counted: 0,
            received: messages("in"),
            sent: messages("out"),
        }
    }

    pub(super) fn received(&self) {
        self.received.increment(1);
    }

    pub(super) fn sent(&self, count: u64) {
        if count > 0 {
            self.sent.increment(count);
        }
    }

    /// How many operations are under way now.
    #[expect(clippy::cast_precision_loss, reason = "a count of operations is far below 2^52")]
    pub(super) fn operations(&mut self, now: usize) {
        if now != self.counted {
            self.operations.increment(now as f64 - self.counted as f64);
            self.counted = now;
        }
    }

    /// Counts how the socket ended.
    pub(super) fn closed(&self, code: impl ToString) {
        counter!("switchboard_websocket_closes_total", "protocol" => self.protocol, "code" => code.to_string())
            .increment(1);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.operations(0);
        self.sockets.decrement(1);
    }
}

/// Counts an upgrade that was refused.
pub(super) fn refused(reason: &'static str) {
    counter!("switchboard_websocket_refused_total", "reason" => reason).increment(1);
}
