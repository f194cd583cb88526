//! Positions: how far a reader has read the log.
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
//!
//! Transaction numbers mean something in one history of one log only. So a position names its [`Incarnation`], and
//! carries the [`Mark`] of an event that it contains:
//!
//! | what happened to the database | found by |
//! | --- | --- |
//! | another database of the cluster, also a copy of this one | the database's oid |
//! | restored from a dump, upgraded, another cluster | the system identifier |
//! | promoted, or recovered to a point in time | the timeline |
//! | a copy of the data directory put back: the same names, the same numbers again | the mark: that event is gone, or has another time |

use std::{fmt, str::FromStr, sync::Arc};

use time::OffsetDateTime;
use uuid::Uuid;

use super::cursor::CursorKey;
use crate::platform::error::{Error, Result};

/// Names a log, in the history that its database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogName {
    /// The system identifier of the cluster, which initdb makes.
    pub system: i64,
    /// The timeline, which each promotion and point-in-time recovery raises.
    pub timeline: i32,
    /// The oid of the database: a copy within the cluster has the same `id`.
    pub database: i64,
    /// Random; made with the log.
    pub id: Uuid,
}

/// One history of one log, and the key that seals its cursors. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Incarnation(Arc<(LogName, CursorKey)>);

impl Incarnation {
    /// The history of the log of this name, whose cursors are sealed by `key`.
    pub fn new(name: LogName, key: CursorKey) -> Self {
        Self(Arc::new((name, key)))
    }

    /// The log's name.
    pub fn name(&self) -> &LogName {
        &self.0.0
    }

    pub(super) fn key(&self) -> &CursorKey {
        &self.0.1
    }
}

impl fmt::Debug for Incarnation {
    /// Leaves out the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Incarnation").field(self.name()).finish()
    }
}

/// Identifies an event well enough to tell the present log from one whose later part was lost: the same transaction
/// number is given out again after that, but not at the same microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark {
    /// The transaction that wrote it.
    pub xid: u64,
    /// The time of that transaction's newest event; `None` where the log has never held an event.
    pub at: Option<OffsetDateTime>,
}

/// The set of transactions whose events a reader has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The history that the transaction numbers belong to.
    pub incarnation: Incarnation,
    /// Greatest transaction among the events read.
    pub seen: u64,
    /// The newest event read. Its transaction is `seen`, unless `seen` was lowered to make a cursor shorter.
    pub mark: Mark,
    /// Transactions below `seen` that were in progress when the position was taken, ascending.
    pub pending: Arc<[u64]>,
}

impl Position {
    /// A position that contains every transaction up to that of `mark`.
    pub fn at(incarnation: Incarnation, mark: Mark) -> Self {
        Self { incarnation, seen: mark.xid, mark, pending: Arc::default() }
    }

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

    /// The position after a read under `snapshot` that found events with these marks.
    #[must_use]
    pub fn advanced(&self, read: impl IntoIterator<Item = Mark>, snapshot: &Snapshot) -> Self {
        let mark = read.into_iter().fold(self.mark, Mark::max);
        let seen = self.seen.max(mark.xid);
        let pending = snapshot.in_progress.iter().copied().filter(|xid| *xid <= seen).collect();
        Self { incarnation: self.incarnation.clone(), seen, mark, pending }
    }

    /// A position with at most `most` pending transactions. It contains no transaction that this one does not: a resume
    /// repeats events and never loses one.
    pub(super) fn shortened(&self, most: usize) -> Self {
        if self.pending.len() <= most {
            return self.clone();
        }
        Self { seen: self.pending[0].saturating_sub(1), pending: Arc::default(), ..self.clone() }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn here() -> Incarnation {
        Incarnation::new(LogName { system: 7, timeline: 1, database: 5, id: Uuid::nil() }, CursorKey::new([0; 32]))
    }

    fn mark(xid: u64) -> Mark {
        Mark { xid, at: Some(OffsetDateTime::UNIX_EPOCH) }
    }

    /// Runs a history: transactions begin in order and end in any order, by commit with an event or by abort, with
    /// reads in between. A read sees exactly the committed events. Returns the events that were delivered and those
    /// that are visible.
    fn replay(ends: &[(u64, bool)], reads_after: &[usize]) -> (Vec<u64>, Vec<u64>) {
        let mut in_progress: Vec<u64> = (1..=ends.len() as u64).collect();
        let mut visible: Vec<u64> = Vec::new();
        let mut delivered = Vec::new();
        let mut position = Position::at(here(), Mark::default());
        for (step, (xid, commits)) in ends.iter().enumerate() {
            in_progress.retain(|other| other != xid);
            if *commits {
                visible.push(*xid);
            }
            if reads_after.contains(&step) || step + 1 == ends.len() {
                let found: Vec<u64> = visible.iter().copied().filter(|xid| !position.contains(*xid)).collect();
                let marks = found.iter().copied().map(mark);
                position = position.advanced(marks, &Snapshot { in_progress: in_progress.clone() });
                assert!(visible.iter().all(|xid| position.contains(*xid)), "read but not contained");
                assert!(in_progress.iter().all(|xid| !position.contains(*xid)), "in progress but contained");
                assert_eq!(position.mark.xid, position.seen, "the mark is the newest event");
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
                let pending = pending.into_iter().filter(|xid| *xid <= seen).collect();
                Position { pending, ..Position::at(here(), mark(seen)) }
            };
            let (one, other) = (position(one_seen, one_pending), position(other_seen, other_pending));
            let union = one.union(&other);
            for xid in 0..13 {
                prop_assert_eq!(union.contains(xid), one.contains(xid) || other.contains(xid), "{}", xid);
            }
        }
    }
}
