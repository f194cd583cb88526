//! Metrics of WebSockets, by subprotocol.
//!
//! | metric | kind | labels |
//! | --- | --- | --- |
//! | `switchboard_websocket_sockets` | gauge | protocol |
//! | `switchboard_websocket_operations` | gauge | protocol |
//! | `switchboard_websocket_messages_total` | counter | protocol, direction (in, out) |
//! | `switchboard_websocket_closes_total` | counter | protocol, code (a close code of ours, `client`, `lost`, `silent`) |
//! | `switchboard_websocket_refused_total` | counter | reason (full, draining, origin, address) |

use metrics::{Counter, Gauge, counter, gauge};

/// One socket's share of the metrics. Dropping it takes its share out of the gauges.
pub(super) struct SocketMetrics {
    protocol: &'static str,
    sockets: Gauge,
    operations: Gauge,
    counted: usize,
    received: Counter,
    sent: Counter,
}

impl SocketMetrics {
    /// Counts a new socket.
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

    /// Sets the number of the socket's open operations.
    #[expect(clippy::cast_precision_loss, reason = "a count of operations is far below 2^52")]
    pub(super) fn operations(&mut self, now: usize) {
        if now != self.counted {
            self.operations.increment(now as f64 - self.counted as f64);
            self.counted = now;
        }
    }

    /// Counts the end of the socket, by its close code or another cause.
    pub(super) fn closed(&self, code: impl ToString) {
        counter!("switchboard_websocket_closes_total", "protocol" => self.protocol, "code" => code.to_string())
            .increment(1);
    }
}

impl Drop for SocketMetrics {
    fn drop(&mut self) {
        self.operations(0);
        self.sockets.decrement(1);
    }
}

/// Counts a refused upgrade.
pub(super) fn refused(reason: &'static str) {
    counter!("switchboard_websocket_refused_total", "reason" => reason).increment(1);
}
