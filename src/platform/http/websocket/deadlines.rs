//! All deadlines of one socket, as a pure function of past events and the settings. One timer serves them all.
//!
//! | deadline | counted from | consequence |
//! | --- | --- | --- |
//! | no init, or no caller yet | the upgrade | 4408, or 1013 |
//! | ping | the last message or frame received, or the last ping | a WebSocket ping |
//! | keep-alive | the acknowledgement, or the last one | the protocol's own message, where it has one |
//! | silence | the last message or frame received | the socket is dropped |
//! | stuck | the send queue became full, or the client last took a message | 1013 |
//! | idle | a caller without a credential ran its last operation, or was let in | 1001 |
//! | drained | the start of the drain | 1001, even if operations are open |
//! | closed | our close frame was queued | the socket is dropped |

use std::time::Duration;

use tokio::time::Instant;

use crate::platform::{config::HttpSettings, http::places::PROBATION};

/// Upper bound on the time between two keep-alives: the reference client gives up after 30 s without one.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);
/// How long a closing socket may take to flush and to receive the client's close frame.
pub(super) const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// The kind of a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The caller is not known yet.
    Init,
    /// Nothing was received for the ping interval.
    Ping,
    /// The protocol's keep-alive message.
    KeepAlive,
    /// Nothing was received for the silence limit.
    Silence,
    /// The client took nothing from a full send queue.
    Stuck,
    /// A caller without a credential has run nothing for the idle time.
    Idle,
    /// The time for operations to finish is over.
    Drained,
    /// The time for the close handshake is over.
    Closed,
}

/// The times that deadlines count from; `None` where a deadline does not apply.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// The upgrade, until the caller is known.
    unknown_since: Option<Instant>,
    /// The connection is on probation, until the caller is known.
    on_probation: bool,
    received_at: Instant,
    pinged: Instant,
    kept_alive: Option<Instant>,
    full_since: Option<Instant>,
    idle_since: Option<Instant>,
    draining_since: Option<Instant>,
    closing_since: Option<Instant>,
}

impl Deadlines {
    /// The deadlines of a new socket, whose connection has a place or is on probation.
    pub(super) fn new(now: Instant, on_probation: bool) -> Self {
        Self {
            unknown_since: Some(now),
            on_probation,
            received_at: now,
            pinged: now,
            kept_alive: None,
            full_since: None,
            idle_since: None,
            draining_since: None,
            closing_since: None,
        }
    }

    /// A message or frame was received.
    pub(super) fn received(&mut self, now: Instant) {
        self.received_at = now;
    }

    /// A ping was queued.
    pub(super) fn pinged(&mut self, now: Instant) {
        self.pinged = now;
    }

    /// A keep-alive was queued. The first one starts the interval.
    pub(super) fn kept_alive(&mut self, now: Instant) {
        self.kept_alive = Some(now);
    }

    /// The caller is known. Counts as a message received, because nothing was read during authentication.
    pub(super) fn known(&mut self, now: Instant) {
        self.unknown_since = None;
        self.received_at = now;
    }

    /// The state of the send queue: `full`, and `taken` if the client took a message since the last call.
    pub(super) fn queue(&mut self, now: Instant, full: bool, taken: bool) {
        self.full_since = match self.full_since {
            _ if !full => None,
            Some(since) if !taken => Some(since),
            _ => Some(now),
        };
    }

    /// Whether the socket has a caller without a credential and runs nothing.
    pub(super) fn idle(&mut self, idle: bool) {
        if idle != self.idle_since.is_some() {
            self.idle_since = idle.then(Instant::now);
        }
    }

    /// The server is draining.
    pub(super) fn draining(&mut self, now: Instant) {
        self.draining_since = Some(now);
    }

    /// A close frame was queued. From now on only the close handshake has a deadline.
    pub(super) fn closing(&mut self, now: Instant) {
        self.closing_since = Some(now);
    }

    /// The next deadline and its kind.
    pub(super) fn next(&self, settings: &HttpSettings) -> (Instant, Due) {
        if let Some(since) = self.closing_since {
            return (since + CLOSE_GRACE, Due::Closed);
        }
        // At least two pings go out before the silence limit.
        let ping_every = settings.ping_every.min(settings.silence_limit / 3);
        // Ends early enough for the close handshake, with a margin, before the server drops the remaining sockets.
        let drain = settings.drain_timeout.saturating_sub(CLOSE_GRACE + CLOSE_GRACE / 2);
        let keep_alive = settings.ping_every.min(KEEP_ALIVE_EVERY);
        let init = settings.init_timeout.min(if self.on_probation { PROBATION } else { Duration::MAX });
        let candidates = [
            self.unknown_since.map(|since| (since + init, Due::Init)),
            Some((self.received_at + settings.silence_limit, Due::Silence)),
            self.full_since.map(|since| (since + settings.send_timeout, Due::Stuck)),
            self.idle_since.map(|since| (since + settings.anonymous_idle, Due::Idle)),
            self.draining_since.map(|since| (since + drain, Due::Drained)),
            self.kept_alive.map(|since| (since + keep_alive, Due::KeepAlive)),
        ];
        let ping = (self.received_at.max(self.pinged) + ping_every, Due::Ping);
        candidates.into_iter().flatten().fold(ping, |first, next| if next.0 < first.0 { next } else { first })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    fn settings() -> HttpSettings {
        let matches = HttpSettings::augment_args(clap::Command::new("test")).get_matches_from(["test"]);
        HttpSettings::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn an_idle_socket_is_pinged_and_a_silent_one_dropped() {
        let (settings, start) = (settings(), Instant::now());
        let seconds = |n| start + Duration::from_secs(n);
        let mut deadlines = Deadlines::new(start, false);
        assert_eq!(deadlines.next(&settings), (seconds(10), Due::Init));
        deadlines.known(seconds(1));
        for at in [21, 41] {
            assert_eq!(deadlines.next(&settings), (seconds(at), Due::Ping));
            deadlines.pinged(seconds(at));
        }
        deadlines.pinged(seconds(60));
        assert_eq!(deadlines.next(&settings), (seconds(61), Due::Silence));
        deadlines.received(seconds(60));
        assert_eq!(deadlines.next(&settings), (seconds(80), Due::Ping));
        deadlines.kept_alive(seconds(50));
        assert_eq!(deadlines.next(&settings), (seconds(70), Due::KeepAlive));
    }

    #[test]
    fn a_socket_on_probation_has_less_time_and_an_idle_one_an_end() {
        let (settings, start) = (settings(), Instant::now());
        let mut deadlines = Deadlines::new(start, true);
        assert_eq!(deadlines.next(&settings), (start + PROBATION, Due::Init));
        deadlines.known(start);
        deadlines.received(start + settings.anonymous_idle);
        deadlines.idle(true);
        let since = deadlines.idle_since.unwrap();
        deadlines.idle(true);
        assert_eq!(
            deadlines.next(&settings),
            (since + settings.anonymous_idle, Due::Idle),
            "idle since the first time"
        );
        deadlines.idle(false);
        assert_ne!(deadlines.next(&settings).1, Due::Idle);
    }

    #[test]
    fn a_full_queue_is_stuck_only_if_nothing_is_taken_from_it() {
        let (settings, start) = (settings(), Instant::now());
        let seconds = |n| start + Duration::from_secs(n);
        let mut deadlines = Deadlines::new(start, false);
        deadlines.known(start);
        deadlines.queue(seconds(1), true, false);
        deadlines.queue(seconds(5), true, false);
        assert_eq!(deadlines.next(&settings), (seconds(11), Due::Stuck));
        deadlines.queue(seconds(9), true, true);
        assert_eq!(deadlines.next(&settings), (seconds(19), Due::Stuck));
        deadlines.queue(seconds(10), false, true);
        assert_eq!(deadlines.next(&settings), (seconds(20), Due::Ping));
        deadlines.draining(seconds(10));
        assert_eq!(deadlines.next(&settings), (seconds(17), Due::Drained));
        deadlines.closing(seconds(12));
        assert_eq!(deadlines.next(&settings), (seconds(14), Due::Closed));
    }
}
