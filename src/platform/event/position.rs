//! Positions: how far a reader has read the log. Cursors: positions in a form that clients keep.
//!
//! A [`Position`] is a set of transactions: all up to `seen`, except those that were `pending` when it was taken. It
//! contains an event exactly if the set contains the event's transaction. Both parts survive a crash of Postgres.
//! `seen` was read from a visible and therefore flushed event, so no later transaction gets that number again. A
//! pending transaction that the crash aborted never writes.
//!
//! ```text
//! xid:   … 90  91  92  93  94  95 …
//!            └ pending ┘   └ seen = 94: contained are all ≤ 94 except 91 and 92
//! ```

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::platform::error::{Error, Result};

/// Most pending transactions in a cursor.
const CURSOR_PENDING: usize = 64;
/// Longest cursor, in bytes.
const CURSOR_BYTES: usize = 8_192;

/// Identifies one history of one database cluster. Another cluster or a restored backup has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnation {
    /// The system identifier, which initdb makes.
    pub system: i64,
    /// The timeline, which each promotion and point-in-time recovery raises.
    pub timeline: i32,
}

/// The set of transactions whose events a reader has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The history that the transaction numbers belong to.
    pub incarnation: Incarnation,
    /// Greatest transaction among the events read.
    pub seen: u64,
    /// Transactions below `seen` that were in progress when the position was taken, ascending.
    pub pending: Arc<[u64]>,
}

impl Position {
    /// True if the reader has read the events of this transaction.
    pub fn contains(&self, xid: u64) -> bool {
        xid <= self.seen && self.pending.binary_search(&xid).is_err()
    }

    /// The transactions that either of two positions of the same history contains.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (far, near) = if self.seen < other.seen { (other, self) } else { (self, other) };
        let pending = far.pending.iter().copied().filter(|xid| !near.contains(*xid)).collect();
        Self { pending, ..far.clone() }
    }

    /// True if a log that was dropped up to `floor` still holds every event that this position does not contain.
    pub fn is_kept(&self, floor: u64) -> bool {
        floor <= self.seen && self.pending.first().is_none_or(|oldest| floor < *oldest)
    }

    /// True if the log, which ends at `end` and was dropped up to `floor`, holds every event that this position does
    /// not contain. False if the position belongs to another history, or lies after the end (a restored backup).
    pub fn is_held(&self, end: &Self, floor: u64) -> bool {
        self.is_kept(floor) && self.incarnation == end.incarnation && self.seen <= end.seen
    }

    /// The position after a read under `snapshot` that found events of the transactions `read`.
    #[must_use]
    pub fn advanced(&self, read: impl IntoIterator<Item = u64>, snapshot: &Snapshot) -> Self {
        let seen = read.into_iter().fold(self.seen, u64::max);
        let pending = snapshot.in_progress.iter().copied().filter(|xid| *xid <= seen).collect();
        Self { incarnation: self.incarnation, seen, pending }
    }

    /// A position with few enough pending transactions for a cursor. It contains no transaction that this one does not:
    /// a resume repeats events and never loses one.
    fn shortened(&self) -> Self {
        if self.pending.len() <= CURSOR_PENDING {
            return self.clone();
        }
        Self { seen: self.pending[0].saturating_sub(1), pending: Arc::default(), incarnation: self.incarnation }
    }
}

/// The transactions in progress when a statement ran: `pg_current_snapshot()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Ascending, all below the snapshot's xmax.
    pub in_progress: Vec<u64>,
}

impl FromStr for Snapshot {
    type Err = Error;

    /// Parses Postgres' text form, `xmin:xmax:xip,xip,…`.
    fn from_str(text: &str) -> Result<Self> {
        let unreadable = || Error::internal(format!("unreadable snapshot {text:?}"));
        let list = text.split(':').nth(2).ok_or_else(unreadable)?;
        let mut in_progress = list
            .split(',')
            .filter(|xid| !xid.is_empty())
            .map(|xid| xid.parse().map_err(|_| unreadable()))
            .collect::<Result<Vec<u64>>>()?;
        in_progress.sort_unstable();
        Ok(Self { in_progress })
    }
}

/// The name of a subject in cursors, `subject_type:id`. All cursors of one stream share the text.
#[derive(Debug)]
pub struct SubjectName(Arc<str>);

impl SubjectName {
    /// The name of one subject.
    pub fn new(subject_type: &str, id: &str) -> Self {
        Self(format!("{subject_type}:{id}").into())
    }

    /// True if `subject`, the name in a cursor, is this one.
    pub fn is(&self, subject: &str) -> bool {
        *self.0 == *subject
    }

    /// The cursor of a client that has received everything up to `version`, in the history of `position`.
    pub fn cursor(&self, position: &Position, version: i32) -> Cursor {
        Cursor::Subject { incarnation: position.incarnation, subject: Arc::clone(&self.0), version }
    }
}

/// Resumes a stream; opaque text to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// The client has received everything that the position contains. Valid for any stream.
    At(Position),
    /// The client has received everything about one subject up to `version`. Valid only for streams of that subject.
    Subject {
        /// The history that the version belongs to.
        incarnation: Incarnation,
        /// The subject's [name](SubjectName).
        subject: Arc<str>,
        /// The last version that the client has received.
        version: i32,
    },
    /// The client has received part of a snapshot, so a resume sends it again.
    Restart,
}

/// The wire form, kept short: one letter, then the fields.
#[derive(Serialize, Deserialize)]
enum Wire<'a> {
    #[serde(rename = "p")]
    At(Incarnation, u64, Vec<u64>),
    #[serde(rename = "s")]
    Subject(Incarnation, Cow<'a, str>, i32),
    #[serde(rename = "r")]
    Restart,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = match self {
            Self::At(position) => {
                let position = position.shortened();
                Wire::At(position.incarnation, position.seen, position.pending.to_vec())
            }
            Self::Subject { incarnation, subject, version } => {
                Wire::Subject(*incarnation, Cow::Borrowed(subject), *version)
            }
            Self::Restart => Wire::Restart,
        };
        let text = serde_json::to_string(&wire).map_err(|_| fmt::Error)?;
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(text))
    }
}

impl FromStr for Cursor {
    type Err = Error;

    /// # Errors
    /// `BAD_USER_INPUT` for anything that [`Cursor`]'s `Display` did not write.
    fn from_str(text: &str) -> Result<Self> {
        let bounded = Some(text).filter(|text| text.len() <= CURSOR_BYTES);
        let decoded = bounded.and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
        let wire = decoded.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match wire {
            Some(Wire::At(incarnation, seen, mut pending))
                if pending.len() <= CURSOR_PENDING && i64::try_from(seen).is_ok() =>
            {
                pending.sort_unstable();
                pending.retain(|xid| *xid <= seen);
                Ok(Self::At(Position { incarnation, seen, pending: pending.into() }))
            }
            Some(Wire::Subject(incarnation, subject, version)) if version >= 0 => {
                Ok(Self::Subject { incarnation, subject: subject.into(), version })
            }
            Some(Wire::Restart) => Ok(Self::Restart),
            _ => Err(Error::invalid("after", "not a cursor of this server")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    const HERE: Incarnation = Incarnation { system: 7, timeline: 1 };

    /// Runs a history: transactions begin in order and end in any order, by commit with an event or by abort, with
    /// reads in between. A read sees exactly the committed events. Returns the events that were delivered and those
    /// that are visible.
    fn replay(ends: &[(u64, bool)], reads_after: &[usize]) -> (Vec<u64>, Vec<u64>) {
        let mut in_progress: Vec<u64> = (1..=ends.len() as u64).collect();
        let mut visible: Vec<u64> = Vec::new();
        let mut delivered = Vec::new();
        let mut position = Position { incarnation: HERE, seen: 0, pending: Arc::default() };
        for (step, (xid, commits)) in ends.iter().enumerate() {
            in_progress.retain(|other| other != xid);
            if *commits {
                visible.push(*xid);
            }
            if reads_after.contains(&step) || step + 1 == ends.len() {
                let found: Vec<u64> = visible.iter().copied().filter(|xid| !position.contains(*xid)).collect();
                position = position.advanced(found.iter().copied(), &Snapshot { in_progress: in_progress.clone() });
                assert!(visible.iter().all(|xid| position.contains(*xid)), "read but not contained");
                assert!(in_progress.iter().all(|xid| !position.contains(*xid)), "in progress but contained");
                delivered.extend(found);
            }
        }
        (delivered, visible)
    }

    proptest! {
        #[test]
        fn every_commit_is_read_exactly_once_whatever_the_order(
            order in Just((1..=12u64).collect::<Vec<_>>()).prop_shuffle(),
            commits in prop::collection::vec(any::<bool>(), 12),
            reads in prop::collection::vec(0..12usize, 0..6),
        ) {
            let ends: Vec<_> = order.into_iter().zip(commits).collect();
            let (mut delivered, mut visible) = replay(&ends, &reads);
            delivered.sort_unstable();
            visible.sort_unstable();
            prop_assert_eq!(delivered, visible);
        }

        #[test]
        fn the_union_of_two_positions_contains_what_either_does(
            (one_seen, other_seen) in (0..12u64, 0..12u64),
            one_pending in prop::collection::btree_set(0..12u64, 0..4),
            other_pending in prop::collection::btree_set(0..12u64, 0..4),
        ) {
            let position = |seen: u64, pending: std::collections::BTreeSet<u64>| {
                Position { incarnation: HERE, seen, pending: pending.into_iter().filter(|xid| *xid <= seen).collect() }
            };
            let (one, other) = (position(one_seen, one_pending), position(other_seen, other_pending));
            let union = one.union(&other);
            for xid in 0..13 {
                prop_assert_eq!(union.contains(xid), one.contains(xid) || other.contains(xid), "{}", xid);
            }
        }

        #[test]
        fn a_cursor_parses_back_to_a_position_that_contains_no_more(
            seen in 1..1_000u64, pending in prop::collection::btree_set(1..1_000u64, 0..100),
        ) {
            let pending: Arc<[u64]> = pending.into_iter().filter(|xid| *xid <= seen).collect();
            let position = Position { incarnation: HERE, seen, pending };
            let Cursor::At(back) = Cursor::At(position.clone()).to_string().parse().unwrap() else { panic!() };
            for xid in 1..=1_001 {
                prop_assert!(position.contains(xid) || !back.contains(xid));
            }
            if position.pending.len() <= CURSOR_PENDING {
                prop_assert_eq!(back, position);
            }
        }

        #[test]
        fn other_text_is_not_a_cursor(text in "\\PC{0,80}") {
            prop_assume!(text != Cursor::Restart.to_string());
            prop_assert!(text.parse::<Cursor>().is_err());
        }
    }
}
