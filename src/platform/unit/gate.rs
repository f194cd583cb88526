//! Places for transactions that run outside batches, taken before a connection is.
//!
//! ```text
//! verb ─► its record's line: one at a time ─► its caller's line: half of the places ─► a place ─► connection, transaction
//! ```
//! Without it a few callers of one record would hold every connection, all but one of them only to wait for the record's
//! lock. All places together are half of the requests' connections. A place is held until the transaction has ended, also
//! when its caller has gone: the connection is taken as long. Whoever leaves while it waits leaves nothing behind.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::platform::error::{Code, Error, Result};

/// Most verbs that wait in one line for a transaction; beyond it `RATE_LIMITED`.
const LONGEST_LINE: usize = 1_000;

/// The lines in which a verb waits, each of its company. What is absent is not waited for.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    /// The record whose lock the verb takes first.
    pub subject: Option<(Uuid, Uuid)>,
    /// The company and the claim `sub` of the caller.
    pub caller: Option<(Uuid, String)>,
}

impl Lines {
    /// Stands for a record that is named by texts and not by an id: the same for the same texts.
    pub fn id_of(texts: &[&str]) -> Uuid {
        let mut hash = Sha256::new();
        for text in texts {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        let digest: [u8; 32] = hash.finalize().into();
        Uuid::from_bytes(std::array::from_fn(|place| digest[place]))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    Subject(Uuid, Uuid),
    Caller(Uuid, String),
}

#[derive(Debug)]
struct Line {
    places: Arc<Semaphore>,
    /// Those that wait or have a place. A line without members is forgotten.
    members: usize,
}

/// The places of one process, and the lines before them.
#[derive(Debug)]
pub(super) struct Gate {
    all: Arc<Semaphore>,
    /// Places of one caller.
    share: usize,
    /// Members of one line.
    longest: usize,
    lines: Mutex<HashMap<Name, Line>>,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(in crate::platform) struct Place {
    _permit: OwnedSemaphorePermit,
    _members: [Option<Member>; 2],
}

/// A record's turn; ends when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _member: Option<Member>,
}

/// Membership in a line, with its turn once that has come.
#[derive(Debug)]
struct Member {
    gate: Arc<Gate>,
    name: Name,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Member {
    fn drop(&mut self) {
        // Before the line may be forgotten.
        self.permit = None;
        let mut lines = self.gate.lines();
        if let Entry::Occupied(mut line) = lines.entry(self.name.clone()) {
            line.get_mut().members -= 1;
            if line.get().members == 0 {
                line.remove();
            }
        }
    }
}

impl Gate {
    /// A gate before transactions: as many places as `all` has now, half of them for one caller.
    pub(super) fn for_transactions(all: &Arc<Semaphore>) -> Arc<Self> {
        Self::new(all, all.available_permits() / 2, LONGEST_LINE)
    }

    /// A gate before batches that wait for locks. Each caller is a company, which leaves one place at least to the others.
    /// Whole partitions wait here; what waits in them is bounded there.
    pub(super) fn for_batches(all: &Arc<Semaphore>) -> Arc<Self> {
        Self::new(all, all.available_permits().saturating_sub(1), usize::MAX)
    }

    fn new(all: &Arc<Semaphore>, share: usize, longest: usize) -> Arc<Self> {
        let (all, share) = (Arc::clone(all), share.max(1));
        Arc::new(Self { all, share, longest, lines: Mutex::default() })
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Name, Line>> {
        // Nothing panics while it holds the lock.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place.
    ///
    /// # Errors
    /// `RATE_LIMITED` if too many wait already.
    pub(super) async fn enter(self: &Arc<Self>, lines: Lines) -> Result<Place> {
        let subject = match lines.subject {
            Some((company_id, id)) => Some(self.join(Name::Subject(company_id, id), 1).await?),
            None => None,
        };
        let caller = match lines.caller {
            Some((company_id, sub)) => Some(self.join(Name::Caller(company_id, sub), self.share).await?),
            None => None,
        };
        Ok(Place { _permit: acquire(&self.all).await, _members: [subject, caller] })
    }

    /// Waits for the record's turn alone, without a place.
    ///
    /// # Errors
    /// `RATE_LIMITED` if too many wait already.
    pub(super) async fn turn(self: &Arc<Self>, lines: Lines) -> Result<Turn> {
        match lines.subject {
            Some((company_id, id)) => Ok(Turn { _member: Some(self.join(Name::Subject(company_id, id), 1).await?) }),
            None => Ok(Turn { _member: None }),
        }
    }

    async fn join(self: &Arc<Self>, name: Name, places: usize) -> Result<Member> {
        let (semaphore, mut member) = {
            let mut lines = self.lines();
            let line = lines
                .entry(name.clone())
                .or_insert_with(|| Line { places: Arc::new(Semaphore::new(places)), members: 0 });
            if line.members >= self.longest {
                return Err(Error::new(Code::RateLimited, "too many calls are waiting, try again"));
            }
            line.members += 1;
            (Arc::clone(&line.places), Member { gate: Arc::clone(self), name, permit: None })
        };
        member.permit = Some(acquire(&semaphore).await);
        Ok(member)
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(semaphore).acquire_owned().await.expect("the semaphore is never closed")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use futures_util::poll;

    use super::*;

    const COMPANY: Uuid = Uuid::nil();

    fn of(subject: u128, caller: &str) -> Lines {
        Lines { subject: Some((COMPANY, Uuid::from_u128(subject))), caller: Some((COMPANY, caller.to_owned())) }
    }

    #[tokio::test]
    async fn one_record_has_one_place_and_one_caller_half_of_them() {
        let gate = Gate::for_transactions(&Arc::new(Semaphore::new(4)));
        let first = gate.enter(of(1, "ada")).await.unwrap();
        let mut same_record = Box::pin(gate.enter(of(1, "ben")));
        assert!(poll!(same_record.as_mut()).is_pending());
        let second = gate.enter(of(2, "ada")).await.unwrap();
        let mut third = Box::pin(gate.enter(of(3, "ada")));
        assert!(poll!(third.as_mut()).is_pending(), "ada has half of the places");
        let others = [gate.enter(of(4, "eve")).await.unwrap(), gate.enter(Lines::default()).await.unwrap()];
        let mut fifth = Box::pin(gate.enter(Lines::default()));
        assert!(poll!(fifth.as_mut()).is_pending(), "all places are taken");
        drop(first);
        let fifth = fifth.await.unwrap();
        drop((fifth, second));
        same_record.await.unwrap();
        third.await.unwrap();
        drop(others);
        assert!(gate.lines().is_empty(), "lines without members are forgotten");
    }

    #[tokio::test]
    async fn a_line_is_bounded_and_whoever_leaves_makes_room() {
        let gate = Gate::for_transactions(&Arc::new(Semaphore::new(4)));
        let held = gate.enter(of(1, "ada")).await.unwrap();
        let mut waiting = Vec::new();
        for number in 1..LONGEST_LINE {
            let mut entering = Box::pin(gate.enter(of(1, &number.to_string())));
            assert!(poll!(entering.as_mut()).is_pending());
            waiting.push(entering);
        }
        assert_eq!(gate.enter(of(1, "one too many")).await.unwrap_err().code(), Code::RateLimited);
        drop(waiting.pop());
        let mut last = Box::pin(gate.enter(of(1, "last")));
        assert!(poll!(last.as_mut()).is_pending());
        drop((waiting, held));
        last.await.unwrap();
        assert!(gate.lines().is_empty());
    }
}
