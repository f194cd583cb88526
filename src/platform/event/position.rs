//! Where a reader of the log is, and cursors: the same in a form that clients keep.
//!
//! A [`Position`] names a set of transactions: all up to `seen`, but for those `pending` when it was taken. An event
//! is contained in it exactly if its transaction is in the set. Both parts survive a crash of Postgres: `seen` was
//! read from a visible, hence flushed, event, so no later transaction gets that number again; a pending transaction
//! that the crash ended never writes.
//!
//! ```text
//! xid:   … 90  91  92  93  94  95 …
//!            └ pending ┘   └ seen = 94: contained are all ≤ 94 but 91 and 92
//! ```

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::platform::error::{Error, Result};

/// More pending transactions than this are not kept in a cursor.
const CURSOR_PENDING: usize = 64;
/// Longest cursor, in bytes.
const CURSOR_BYTES: usize = 8_192;

/// Which history of which database cluster a position belongs to. A restored backup or another cluster differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incarnation {
    /// Postgres' system identifier, made by initdb.
    pub system: i64,
    /// Timeline: raised by each promotion and point-in-time recovery.
    pub timeline: i32,
}

/// A place in the log: the set of transactions whose events are behind the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The history it is a place in.
    pub incarnation: Incarnation,
    /// Greatest transaction among the events read.
    pub seen: u64,
    /// Transactions up to `seen` that were in progress when it was taken, ascending.
    pub pending: Arc<[u64]>,
}

impl Position {
    /// True if events of this transaction are behind the reader.
    pub fn contains(&self, xid: u64) -> bool {
        xid <= self.seen && self.pending.binary_search(&xid).is_err()
    }

    /// What is behind either of two readers of the same history.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let (far, near) = if self.seen < other.seen { (other, self) } else { (self, other) };
        let pending = far.pending.iter().copied().filter(|xid| !near.contains(*xid)).collect();
        Self { pending, ..far.clone() }
    }

    /// True if a log that was dropped up to `floor` still holds all that is not behind this reader.
    pub fn is_kept(&self, floor: u64) -> bool {
        floor <= self.seen && self.pending.first().is_none_or(|oldest| floor < *oldest)
    }

    /// True if the log, which ends at `end` and was dropped up to `floor`, holds all that is not behind this reader. It
    /// does not if the position is of another history, or of a future that this one has lost (a restored backup).
    pub fn is_held(&self, end: &Self, floor: u64) -> bool {
        self.is_kept(floor) && self.incarnation == end.incarnation && self.seen <= end.seen
    }

    /// The position after a read that found events of transactions `read` and was made under `snapshot`.
    #[must_use]
    pub fn advanced(&self, read: impl IntoIterator<Item = u64>, snapshot: &Snapshot) -> Self {
        let seen = read.into_iter().fold(self.seen, u64::max);
        let pending = snapshot.in_progress.iter().copied().filter(|xid| *xid <= seen).collect();
        Self { incarnation: self.incarnation, seen, pending }
    }

    /// A position that contains no more than this one, with few enough pending transactions for a cursor. What it
    /// lacks is repeated after a resume, never lost.
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
    /// Ascending. All below the snapshot's xmax; those above it have not begun to be visible.
    pub in_progress: Vec<u64>,
}

impl FromStr for Snapshot {
    type Err = Error;

    /// Reads Postgres' text form, `xmin:xmax:xip,xip,…`.
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

/// How cursors name a subject. Those of one stream share the text.
#[derive(Debug)]
pub struct SubjectName(Arc<str>);

impl SubjectName {
    /// The name of one subject.
    pub fn new(subject_type: &str, id: &str) -> Self {
        Self(format!("{subject_type}:{id}").into())
    }

    /// True if a cursor that names `subject` is of this one.
    pub fn is(&self, subject: &str) -> bool {
        *self.0 == *subject
    }

    /// The cursor of who has everything up to `version`, in the history of `position`.
    pub fn cursor(&self, position: &Position, version: i32) -> Cursor {
        Cursor::Subject { incarnation: position.incarnation, subject: Arc::clone(&self.0), version }
    }
}

/// What a client keeps to resume a stream: opaque text to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cursor {
    /// Everything up to here was delivered; fits any stream.
    At(Position),
    /// Everything of this one subject up to `version` was delivered; fits only streams of that subject.
    Subject {
        /// The history that the version belongs to.
        incarnation: Incarnation,
        /// Its [name](SubjectName), `subject_type:id`.
        subject: Arc<str>,
        /// Its last version delivered.
        version: i32,
    },
    /// The client was dropped inside a snapshot and must get it again.
    Restart,
}

/// The wire form, kept short: one letter, then the parts.
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

    /// A history: transactions begin in order, then end (commit with an event, or abort) in any order, with reads
    /// between. The log is what has committed; a read sees exactly that.
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
                assert!(visible.iter().all(|xid| position.contains(*xid)), "read but not behind the reader");
                assert!(in_progress.iter().all(|xid| !position.contains(*xid)), "in progress but behind the reader");
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
        fn a_cursor_comes_back_as_it_was_or_repeats_but_never_loses(
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
        fn rubbish_is_refused_not_believed(text in "\\PC{0,80}") {
            prop_assume!(text != Cursor::Restart.to_string());
            prop_assert!(text.parse::<Cursor>().is_err());
        }
    }
}
