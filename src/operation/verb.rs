//! How every verb on a line runs: read or lock, decide, write.
//!
//! ```text
//! guarded:  lines ─► waiters, if one is handed over ─► decide each call ─► write (checks the premises again)
//! locked:   lock race, line ─► lines ─► waiters ─► decide ─► write ─► commit
//! ```
//! Calls of all verbs and lines of a company share batches: one read and one write for all of them. Calls on one line keep
//! their order, and those of one batch decide one after the other over one draft.
//!
//! # Premises
//! The guarded path checks instead of locking. A line is written only if its row, and the race of a chat of ours, are at
//! the revisions that were read; the statement skips what somebody else has locked. Otherwise the calls on that line run
//! again on the locked path, where they wait. What can come between the read and the write, and what then holds:
//! - *Another write of the line, by this server, another one or the reaper*: it raised the line's revision, or inserted the
//!   line. Each write of a waiter is one of its line, so the line's revision stands for the waiters that were read too.
//! - *The line is deleted, and made again*: a revision is never used twice.
//! - *The chat goes to another agent, or starts or ends*: that raised the race's revision. So rights are those of the
//!   moment of the write.
//! - *`startChat` decides without locks beside a grant*: each grant raises the race's revision, also when the race is
//!   marked already, because the decision may rest on a line that was read before the grant. So one of the two writes
//!   fails. A release that grants nothing to anybody raises nothing: a decision that saw the holder was refused or ran
//!   inside.
//! - *Time alone*: a lease that had not ended when it was read may have ended when the line is written. Nobody else was
//!   granted the line, or the premise had failed, so the holder's completion is still the truth, and whoever waits is
//!   woken by the timer. A waiter whose time ran out meanwhile finds its grant when it leaves. A waiter whose server died
//!   meanwhile never claims its grant.
//! - *A crash*: one statement writes a line with its requests, race, timer and events, or nothing.
//!
//! A call that changes nothing needs no premise: its outcome was true when the line was read.
//!
//! A call may run twice if the result of its first run is lost with the connection. The second run finds the call's own
//! attempt, or its own id at the finished request, and has the same outcome.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use uuid::Uuid;

use super::{
    Operations,
    line::{Decision, LineKey},
    sql::{self, Lookup},
};
use crate::platform::{
    batch::{Batched, CallOutcome, Outcomes, WritePath},
    error::{Error, Result},
    unit::{Changes, Unit},
};

/// A mutation of one line, as a value.
pub(super) trait LineVerb: Send + Sync + 'static {
    type Outcome: Send + 'static;

    fn key(&self) -> &LineKey;

    /// Principal and id of the request that the call is about.
    fn request(&self) -> (&str, &str);

    /// `sub` of the caller, who may have half of the places of those that wait. `None`: no such limit.
    fn caller(&self) -> Option<&str>;

    /// True if the call may release the line although its holder lives.
    fn may_release(&self) -> bool {
        false
    }

    /// Decides, and changes the line accordingly. Pure: all that it needs is in `decision`.
    ///
    /// # Errors
    /// Those of the call. Then it has changed nothing.
    fn decide(&self, decision: &mut Decision) -> Result<Self::Outcome>;
}

/// The outcome of any verb.
type AnyOutcome = Box<dyn Any + Send>;

/// Any [`LineVerb`], so that calls of different verbs share a batch.
trait AnyVerb: Send + Sync {
    fn key(&self) -> &LineKey;
    fn caller(&self) -> Option<&str>;
    fn lookup(&self) -> Lookup<'_>;
    fn decide(&self, decision: &mut Decision) -> Result<AnyOutcome>;
}

impl<V: LineVerb> AnyVerb for V {
    fn key(&self) -> &LineKey {
        LineVerb::key(self)
    }

    fn caller(&self) -> Option<&str> {
        LineVerb::caller(self)
    }

    fn lookup(&self) -> Lookup<'_> {
        let (principal, request_id) = self.request();
        Lookup { key: LineVerb::key(self), principal, request_id, may_release: self.may_release() }
    }

    fn decide(&self, decision: &mut Decision) -> Result<AnyOutcome> {
        LineVerb::decide(self, decision).map(|outcome| Box::new(outcome) as AnyOutcome)
    }
}

/// A call of any verb.
pub(super) struct LineCall {
    verb: Box<dyn AnyVerb>,
    /// How long finished requests are remembered.
    memory: Duration,
}

impl fmt::Debug for LineCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineCall").field("key", self.verb.key()).finish_non_exhaustive()
    }
}

impl LineCall {
    pub(super) fn new(verb: impl LineVerb, memory: Duration) -> Self {
        Self { verb: Box::new(verb), memory }
    }
}

impl Batched for LineCall {
    const KIND: &'static str = "operation";
    type Outcome = AnyOutcome;

    fn company_id(&self) -> Uuid {
        self.verb.key().company_id
    }

    fn subject(&self) -> Uuid {
        self.verb.key().subject()
    }

    fn caller(&self) -> Option<&str> {
        self.verb.caller()
    }

    async fn run(calls: &[Arc<Self>], unit: &mut Unit<'_>, path: WritePath) -> Result<Outcomes<AnyOutcome>> {
        let calls: Vec<&Self> = calls.iter().map(|call| &**call).collect();
        match path {
            WritePath::Guarded => run(&calls, unit).await,
            WritePath::Locked => run_locked(&calls, unit).await,
        }
    }
}

/// Runs `calls` under the locks of their lines, which wait for others that hold them.
pub(super) async fn run_locked(calls: &[&LineCall], unit: &mut Unit<'_>) -> Result<Outcomes<AnyOutcome>> {
    let lines: BTreeMap<&str, &LineKey> =
        calls.iter().map(|call| call.verb.key()).map(|key| (key.chat_id.as_str(), key)).collect();
    for _ in 0..3 {
        for key in lines.values() {
            sql::lock(unit.connection(), key).await?;
        }
        let outcomes = run(calls, unit).await?;
        if outcomes.iter().all(|outcome| matches!(outcome, CallOutcome::Decided(_))) {
            return Ok(outcomes);
        }
        // A line that is not there yet cannot be locked: another transaction inserted it first. It is there now. Calls on
        // other lines find what their first run wrote.
    }
    Err(Error::unavailable("a line was made and deleted again and again while it was locked"))
}

/// Runs `calls`, all of one company, in their order.
async fn run(calls: &[&LineCall], unit: &mut Unit<'_>) -> Result<Outcomes<AnyOutcome>> {
    let Some(first) = calls.first() else { return Ok(Vec::new()) };
    let lookups: Vec<Lookup<'_>> = calls.iter().map(|call| call.verb.lookup()).collect();
    let seen = sql::read(unit.connection(), first.company_id(), &lookups).await?;
    let mut decisions = BTreeMap::new();
    for (key, seen) in seen {
        decisions.insert(key.chat_id.clone(), Decision::new(key, seen, first.memory));
    }
    let mut outcomes = Vec::with_capacity(calls.len());
    for call in calls {
        let decision = decisions.get_mut(&call.verb.key().chat_id);
        let decision = decision.ok_or_else(|| Error::internal("a line was not read"))?;
        outcomes.push(call.verb.decide(decision));
    }
    let unwritten = write(unit, first.company_id(), decisions.into_values()).await?;
    let outcome = |(call, outcome): (&&LineCall, _)| {
        if unwritten.contains(&call.verb.key().chat_id) {
            CallOutcome::PremiseFailed { subject: call.subject() }
        } else {
            CallOutcome::Decided(outcome)
        }
    };
    Ok(calls.iter().zip(outcomes).map(outcome).collect())
}

/// Writes what was decided; returns the lines whose premises failed.
async fn write(
    unit: &mut Unit<'_>,
    company_id: Uuid,
    decisions: impl Iterator<Item = Decision>,
) -> Result<BTreeSet<String>> {
    let (mut writes, mut counts) = (Vec::new(), BTreeMap::<String, Changes>::new());
    for decision in decisions {
        match decision.into_write()? {
            (Some(write), counted) => {
                counts.insert(write.key.chat_id.clone(), counted);
                writes.push(write);
            }
            (None, counted) => unit.changes_written(counted),
        }
    }
    if writes.is_empty() {
        return Ok(BTreeSet::new());
    }
    let written = sql::write(unit.connection(), company_id, &writes).await?;
    // A grant that nobody waited for has no event.
    unit.mark_changed();
    let mut unwritten = BTreeSet::new();
    for write in writes {
        let counted = counts.remove(&write.key.chat_id).unwrap_or_default();
        if written.contains(&write.key.chat_id) {
            unit.changes_written(write.changes);
            unit.changes_written(counted);
        } else {
            unwritten.insert(write.key.chat_id);
        }
    }
    Ok(unwritten)
}

impl Operations {
    /// Runs a call, together with those that arrive at the same time.
    ///
    /// # Errors
    /// The call's own; `RATE_LIMITED` if too many wait; `UNAVAILABLE`.
    pub(super) async fn run<V: LineVerb>(&self, verb: V) -> Result<V::Outcome> {
        let outcome = self.calls.run(LineCall::new(verb, self.settings.operation_memory)).await?;
        outcome.downcast().map(|outcome| *outcome).map_err(|_| Error::internal("a call has another verb's outcome"))
    }
}
