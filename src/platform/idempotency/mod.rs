//! Idempotency keys: a call that a client repeats has its effect once, and every repeat gets the first one's outcome.
//!
//! A client that did not hear the outcome of a call cannot know whether it was made. So it sends a key with the call, and
//! the same key with each repeat:
//!
//! ```text
//! transaction: insert the key ─┬─ inserted ─► the call: lock, decide, write ─► store the outcome ─► commit
//!                              └─ it is there (its transaction has ended) ─► next statement: read it
//!                                    same content: the stored outcome      other content: IDEMPOTENCY_MISMATCH
//! ```
//!
//! # Guarantees
//! - The key is inserted by the transaction's first statement. A repeat that comes while the first call is still running
//!   waits for it there, and holds no other lock meanwhile.
//! - Key and effect are one transaction: after a crash there are both or neither.
//! - A conflict is read in the next statement: the snapshot of the insert that conflicted is older than the row.
//! - A call that fails leaves no key, so a repeat is a new try. Expected outcomes (`LOST_RACE`) are kept.
//! - Keys are of one company, caller and operation. Nobody meets another's.
//!
//! # Failure modes
//! - A repeat after the retention (`SWITCHBOARD_IDEMPOTENCY_RETENTION`, 24 h) is a new call.
//! - A repeat that waits for longer than `SWITCHBOARD_LOCK_TIMEOUT` gets `UNAVAILABLE`.
//! - An outcome that this build cannot decode, because another wrote it, is `INTERNAL_SERVER_ERROR`: making the call again
//!   would be worse.

mod batch;
mod sql;

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::platform::{
    error::{Code, Error, Result},
    task::rounds,
    unit::{Lines, Unit, UnitOfWork, Verb},
};

pub(crate) use batch::KeyedCalls;

/// Keys that one statement deletes at most, so that it holds its locks for milliseconds.
const PRUNED_AT_ONCE: i64 = 1_000;
/// Pause between two rounds of deleting old keys.
const PRUNE_EVERY: Duration = Duration::from_mins(10);
/// Tries to insert a key that is deleted between the insert and the read.
const TRIES: usize = 3;

/// A client's key for one call.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// The caller's company.
    pub company_id: Uuid,
    /// The caller's claim `sub`.
    pub caller: String,
    /// What is called; each operation has keys of its own.
    pub operation: &'static str,
    /// Chosen by the client, 1 to 200 characters.
    key: String,
    /// Of everything that the caller asks for.
    content_hash: [u8; 32],
}

impl IdempotencyKey {
    /// The key of a call; `content` is everything that the caller asks for, and must serialize alike in every build.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for a key that is empty or over 200 characters.
    pub fn new(
        company_id: Uuid,
        caller: &str,
        operation: &'static str,
        key: &str,
        content: &impl Serialize,
    ) -> Result<Self> {
        if !(1..=200).contains(&key.chars().count()) {
            return Err(Error::invalid("idempotencyKey", "must have 1 to 200 characters"));
        }
        let content_hash = Sha256::digest(serde_json::to_vec(content)?).into();
        Ok(Self { company_id, caller: caller.to_owned(), operation, key: key.to_owned(), content_hash })
    }

    /// In which order a batch of one operation inserts its keys, so that two batches never wait for each other.
    fn order(&self) -> (&str, &str) {
        (&self.caller, &self.key)
    }

    /// True if the same was asked for under the same key.
    fn is_same_call(&self, other: &Self) -> bool {
        self.order() == other.order() && self.content_hash == other.content_hash
    }

    /// Counts a repeat of the call.
    fn count_repeat(&self) {
        metrics::counter!("switchboard_idempotent_repeats_total", "operation" => self.operation).increment(1);
    }
}

/// A verb under a client's key: runs the verb once, and gives every repeat the first outcome.
#[derive(Debug)]
pub struct Idempotent<V> {
    /// The client's key for this call.
    pub key: IdempotencyKey,
    /// What the key is for.
    pub verb: V,
}

impl<V> Verb for Idempotent<V>
where
    V: Verb,
    V::Outcome: Serialize + DeserializeOwned + Sync,
{
    type Outcome = V::Outcome;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<V::Outcome> {
        if let Some(outcome) = begin(unit, &self.key).await? {
            self.key.count_repeat();
            return Ok(serde_json::from_str(&outcome)?);
        }
        let outcome = self.verb.run(unit).await?;
        store(unit, &self.key, &outcome).await?;
        Ok(outcome)
    }

    fn lines(&self) -> Lines {
        self.verb.lines()
    }
}

/// Inserts the key, or reads the outcome of the call that has it. To be the first of the transaction.
async fn begin(unit: &mut Unit<'_>, key: &IdempotencyKey) -> Result<Option<String>> {
    for _ in 0..TRIES {
        if sql::insert(unit.connection(), key).await? {
            unit.mark_changed();
            return Ok(None);
        }
        let Some(known) = sql::find(unit.connection(), key).await? else { continue };
        if known.content_hash != key.content_hash {
            return Err(mismatch());
        }
        return known.outcome.map(Some).ok_or_else(|| Error::internal("a committed idempotency key has no outcome"));
    }
    Err(Error::unavailable("an idempotency key was deleted while it was read"))
}

/// Stores the outcome of the call that has the key; in the transaction that has inserted it.
async fn store(unit: &mut Unit<'_>, key: &IdempotencyKey, outcome: &impl Serialize) -> Result<()> {
    sql::store(unit.connection(), key, &serde_json::to_string(outcome)?).await
}

/// One key, and other content than before.
fn mismatch() -> Error {
    Error::new(Code::IdempotencyMismatch, "idempotencyKey: this key was used for a call with other content")
}

/// Deletes keys that are older than `retention`, in small steps, until `stop`.
pub async fn run(work: UnitOfWork, retention: Duration, stop: CancellationToken) {
    let round = || async {
        let deleted = prune(&work, retention).await?;
        tracing::debug!(deleted, "old idempotency keys");
        Ok(())
    };
    rounds(PRUNE_EVERY, stop, "could not delete old idempotency keys", round).await;
}

struct Prune {
    retention: Duration,
}

impl Verb for Prune {
    type Outcome = u64;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<u64> {
        let deleted = sql::delete_old(unit.connection(), self.retention, PRUNED_AT_ONCE).await?;
        unit.mark_changed();
        Ok(deleted)
    }
}

/// Deletes all keys that are older than `retention`, each step in a transaction of its own; returns how many.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn prune(work: &UnitOfWork, retention: Duration) -> Result<u64> {
    let mut deleted = 0;
    loop {
        let step = work.run(Prune { retention }).await?;
        deleted += step;
        if step < PRUNED_AT_ONCE.unsigned_abs() {
            return Ok(deleted);
        }
    }
}
