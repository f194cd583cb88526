//! What is due when on one socket: a pure function of what happened and of the time, for one timer.
//!
//! | due | counted from | then |
//! | --- | --- | --- |
//! | no init, or no caller yet | the upgrade | 4408, or 1013 |
//! | ping | the last thing heard, or the last ping | a WebSocket ping |
//! | keep-alive | the acknowledgement, or the last one | the protocol's own message, where it has one |
//! | silence | the last thing heard | the socket is dropped |
//! | stuck | the outbox became full, or the reader took something | 1013 |
//! | drained | the drain | 1001, whatever is still under way |
//! | closed | our close frame was queued | the socket is dropped |

use std::time::Duration;

use tokio::time::Instant;

use crate::platform::config::HttpSettings;

/// Longest time between two keep-alives, whatever the setting: the reference client gives up after 30 s without.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(20);
/// How long a closed socket may take to flush and to answer the close frame.
pub(super) const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// Something whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The caller is still not known.
    Init,
    /// Nothing was heard for a while.
    Ping,
    /// The protocol's own sign of life.
    KeepAlive,
    /// Nothing was heard for too long.
    Silence,
    /// A full outbox did not move.
    Stuck,
    /// Operations had their time to finish.
    Drained,
    /// The close handshake had its time.
    Closed,
}

/// When the things happened that deadlines count from; `None`: it does not apply.
#[derive(Debug)]
pub(super) struct Pulse {
    /// The upgrade, until the caller is known.
    unknown_since: Option<Instant>,
    heard: Instant,
    pinged: Instant,
    kept_alive: Option<Instant>,
    full_since: Option<Instant>,
    draining_since: Option<Instant>,
    closing_since: Option<Instant>,
}

impl Pulse {
    /// A socket that was just opened.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            unknown_since: Some(now),
            heard: now,
            pinged: now,
            kept_alive: None,
            full_since: None,
            draining_since: None,
            closing_since: None,
        }
    }

    /// Something arrived.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// A ping is on its way.
    pub(super) fn pinged(&mut self, now: Instant) {
        self.pinged = now;
    }

    /// A keep-alive is on its way; the first one starts them.
    pub(super) fn kept_alive(&mut self, now: Instant) {
        self.kept_alive = Some(now);
    }

    /// The caller is known. Nothing was read while it was asked for.
    pub(super) fn known(&mut self, now: Instant) {
        self.unknown_since = None;
        self.heard = now;
    }

    /// The outbox was filled or emptied a little.
    pub(super) fn outbox(&mut self, now: Instant, full: bool, taken: bool) {
        self.full_since = match self.full_since {
            _ if !full => None,
            Some(since) if !taken => Some(since),
            _ => Some(now),
        };
    }

    /// The server is going away.
    pub(super) fn draining(&mut self, now: Instant) {
        self.draining_since = Some(now);
    }

    /// A close frame is queued; nothing else matters any more.
    pub(super) fn closing(&mut self, now: Instant) {
        self.closing_since = Some(now);
    }

    /// The next deadline and what is due then.
    pub(super) fn next(&self, settings: &HttpSettings) -> (Instant, Due) {
        if let Some(since) = self.closing_since {
            return (since + CLOSE_GRACE, Due::Closed);
        }
        // At least two pings before silence is believed.
        let ping_every = settings.ping_every.min(settings.silence_limit / 3);
        // Leaves time for the close handshake, and some to spare before the server drops what is left.
        let drain = settings.drain_timeout.saturating_sub(CLOSE_GRACE + CLOSE_GRACE / 2);
        let keep_alive = settings.ping_every.min(KEEP_ALIVE_EVERY);
        let candidates = [
            self.unknown_since.map(|since| (since + settings.init_timeout, Due::Init)),
            Some((self.heard + settings.silence_limit, Due::Silence)),
            self.full_since.map(|since| (since + settings.send_timeout, Due::Stuck)),
            self.draining_since.map(|since| (since + drain, Due::Drained)),
            self.kept_alive.map(|since| (since + keep_alive, Due::KeepAlive)),
        ];
        let ping = (self.heard.max(self.pinged) + ping_every, Due::Ping);
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
    fn an_idle_socket_is_pinged_then_dropped() {
        let (settings, start) = (settings(), Instant::now());
        let seconds = |n| start + Duration::from_secs(n);
        let mut pulse = Pulse::new(start);
        assert_eq!(pulse.next(&settings), (seconds(10), Due::Init));
        pulse.known(seconds(1));
        for at in [21, 41] {
            assert_eq!(pulse.next(&settings), (seconds(at), Due::Ping));
            pulse.pinged(seconds(at));
        }
        pulse.pinged(seconds(60));
        assert_eq!(pulse.next(&settings), (seconds(61), Due::Silence));
        pulse.heard(seconds(60));
        assert_eq!(pulse.next(&settings), (seconds(80), Due::Ping));
        pulse.kept_alive(seconds(50));
        assert_eq!(pulse.next(&settings), (seconds(70), Due::KeepAlive));
    }

    #[test]
    fn a_full_outbox_that_moves_is_not_stuck() {
        let (settings, start) = (settings(), Instant::now());
        let seconds = |n| start + Duration::from_secs(n);
        let mut pulse = Pulse::new(start);
        pulse.known(start);
        pulse.outbox(seconds(1), true, false);
        pulse.outbox(seconds(5), true, false);
        assert_eq!(pulse.next(&settings), (seconds(11), Due::Stuck));
        pulse.outbox(seconds(9), true, true);
        assert_eq!(pulse.next(&settings), (seconds(19), Due::Stuck));
        pulse.outbox(seconds(10), false, true);
        assert_eq!(pulse.next(&settings), (seconds(20), Due::Ping));
        pulse.draining(seconds(10));
        assert_eq!(pulse.next(&settings), (seconds(17), Due::Drained));
        pulse.closing(seconds(12));
        assert_eq!(pulse.next(&settings), (seconds(14), Due::Closed));
    }
}
