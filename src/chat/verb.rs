//! How every mutation of a race runs: read or lock, decide, write.
//!
//! ```text
//! guarded:  races ─► contracts ─► decide each call ─► write (checks the premises again)
//! locked:   races ─► contracts ─► lock contracts, races, chats ─► races ─► contracts ─► decide ─► write ─► commit
//!
//! write:    insert_races.sql for races that are new, update_races.sql for those that exist
//! ```
//! Locks, in the order of every writer: contracts (share), races (no key update), chats (no key update), each ascending
//! and in a statement of its own. A race's row carries the decision on all of its chats. To lock only chats would not do: an offer
//! that another transaction is just inserting cannot be locked, and would stay out for ever when the race is decided
//! meanwhile. Whoever offers locks the race too, so it either comes before the decision and is withdrawn by it, or finds
//! the decision and is born finished. A unique index on started chats is the last line of defence, never the mechanism.
//!
//! The guarded path checks instead of locking: a race is written only if it is still at the revision that was read, its
//! contracts are at the versions that were read, and none of its chats got a message since. The statement locks what it
//! checks, skipping what somebody else holds; a call whose race was skipped or has changed runs again on the locked path.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    contract,
    decision::{Decision, RaceWrite, Situation},
    record::Race,
    sql,
};
use crate::{
    operation,
    platform::{
        auth::Principal,
        batch::{Batched, CallOutcome, Outcomes, WritePath},
        error::{Code, Error, Result},
        unit::{Changes, Unit},
    },
};

/// The race that a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The race of this key; it need not exist.
    Key(Uuid),
    /// The race of this chat. A chat never changes its race.
    RaceOf(Uuid),
}

/// The contracts that a decision may offer chats to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Candidates {
    #[default]
    None,
    Named(Vec<Uuid>),
    /// The active ones of a website's shift, at most `limit`.
    OnShift {
        website_id: Uuid,
        shift: i32,
        limit: usize,
    },
}

/// What a call is about, and who makes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Invocation<'a> {
    pub(super) company_id: Uuid,
    pub(super) target: Target,
    /// `sub` of the caller, `None` for a timer.
    pub(super) caller: Option<&'a str>,
}

impl<'a> Invocation<'a> {
    /// A call of `principal` about a race of its company.
    pub(super) fn of(principal: &'a Principal, target: Target) -> Self {
        Self { company_id: principal.company_id, target, caller: Some(&principal.subject) }
    }
}

/// A mutation of one race, as a value.
pub(crate) trait RaceVerb: Send + Sync + 'static {
    /// The label of the metric `switchboard_batch_size`.
    const KIND: &'static str;
    type Outcome: Send + 'static;

    /// Does not change while the call waits.
    fn invocation(&self) -> Invocation<'_>;

    /// The chat whose line the call passes, if it starts or ends one.
    fn line(&self) -> Option<Uuid> {
        None
    }

    /// Contracts that are read, and locked on the locked path. `race` was read without a lock.
    fn candidates(&self, _race: Option<&Race>, _now: OffsetDateTime) -> Candidates {
        Candidates::None
    }

    /// Decides, and changes the race accordingly. Pure: all that it needs is in `decision`.
    ///
    /// # Errors
    /// Those of the call. Then none of its changes remain.
    fn decide(&self, decision: &mut Decision<'_>) -> Result<Self::Outcome>;
}

impl<V: RaceVerb> Batched for V {
    const KIND: &'static str = V::KIND;
    type Outcome = V::Outcome;

    fn company_id(&self) -> Uuid {
        self.invocation().company_id
    }

    fn subject(&self) -> Uuid {
        match self.invocation().target {
            Target::Key(id) | Target::RaceOf(id) => id,
        }
    }

    fn caller(&self) -> Option<&str> {
        self.invocation().caller
    }

    async fn run(calls: &[Arc<Self>], unit: &mut Unit<'_>, path: WritePath) -> Result<Outcomes<V::Outcome>> {
        let mut calls: Vec<&V> = calls.iter().map(|call| &**call).collect();
        let mut outcomes = run(&calls, unit, path).await?;
        let is_failed = |index: &usize| matches!(outcomes[*index], CallOutcome::PremiseFailed { .. });
        let failed: Vec<usize> = (0..calls.len()).filter(is_failed).collect();
        if path == WritePath::Locked && !failed.is_empty() {
            // A race that is not there yet cannot be locked: another transaction inserted it first. It is there now.
            calls = failed.iter().map(|index| calls[*index]).collect();
            for (index, outcome) in failed.into_iter().zip(run(&calls, unit, path).await?) {
                outcomes[index] = outcome;
            }
        }
        Ok(outcomes)
    }
}

/// Runs `calls`, all of one company, in their order.
async fn run<V: RaceVerb>(calls: &[&V], unit: &mut Unit<'_>, path: WritePath) -> Result<Outcomes<V::Outcome>> {
    let found = match path {
        WritePath::Guarded => read(unit.connection(), calls, None).await?,
        WritePath::Locked => lock(unit.connection(), calls).await?,
    };
    let decided = decide(calls, &found)?;
    let written = write(unit, found.situation.company_id, decided.writes).await?;
    let holds = |key: &Uuid| !decided.changed.contains(key) || written.contains(key);
    for (_, counts) in decided.counts.into_iter().filter(|(key, _)| holds(key)) {
        unit.changes_written(counts);
    }
    let outcomes = decided.outcomes.into_iter();
    let outcome = |(key, outcome)| {
        if holds(&key) { CallOutcome::Decided(outcome) } else { CallOutcome::PremiseFailed { subject: key } }
    };
    Ok(outcomes.map(outcome).collect())
}

/// What was read for some calls.
pub(super) struct Found {
    situation: Situation,
    /// The races of chats.
    keys: HashMap<Uuid, Uuid>,
}

impl Found {
    fn key(&self, target: Target) -> Option<Uuid> {
        match target {
            Target::Key(key) => Some(key),
            Target::RaceOf(chat_id) => self.keys.get(&chat_id).copied(),
        }
    }
}

/// Reads the races of `calls`, then their candidates; with `locked`, no other contracts than these.
async fn read<V: RaceVerb>(
    connection: &mut PgConnection,
    calls: &[&V],
    locked: Option<&HashSet<Uuid>>,
) -> Result<Found> {
    let company_id = calls.first().map(|call| call.invocation().company_id).unwrap_or_default();
    let (mut wanted_keys, mut chat_ids) = (Vec::new(), Vec::new());
    for call in calls {
        match call.invocation().target {
            Target::Key(key) => wanted_keys.push(key),
            Target::RaceOf(chat_id) => chat_ids.push(chat_id),
        }
    }
    let (now, races) = sql::races::read(connection, company_id, &wanted_keys, &chat_ids).await?;
    let mut keys = HashMap::new();
    for seen in races.values() {
        keys.extend(seen.race.chats.iter().map(|chat| (chat.id, chat.key)));
    }
    let situation = Situation { company_id, now, races, contracts: HashMap::new(), holders: HashMap::new() };
    let mut found = Found { situation, keys };
    // After the races: a grant marks its race and raises its revision, so that one that comes later fails the write.
    let is_coordinated = |key| found.situation.races.get(&key).is_some_and(|seen| seen.is_coordinated);
    let lines = calls.iter().filter(|call| found.key(call.invocation().target).is_some_and(is_coordinated));
    let lines: Vec<String> = lines.filter_map(|call| call.line()).map(|chat_id| chat_id.to_string()).collect();
    if !lines.is_empty() {
        let holders = operation::holders(connection, company_id, &lines).await?;
        found.situation.holders = holders.into_iter().map(|holder| (holder.chat_id.clone(), holder)).collect();
    }
    let mut named = HashSet::new();
    let mut shifts = Vec::new();
    for call in calls {
        let race = found.key(call.invocation().target).and_then(|key| found.situation.races.get(&key));
        match call.candidates(race.map(|seen| &seen.race), now) {
            Candidates::None => {}
            Candidates::Named(ids) => named.extend(ids),
            Candidates::OnShift { website_id, shift, limit } => shifts.push((website_id, shift, limit)),
        }
    }
    let mut contracts = Vec::new();
    for (website_id, shift, limit) in shifts {
        contracts.extend(contract::sql::on_shift(connection, company_id, website_id, shift, limit).await?);
    }
    if !named.is_empty() {
        let ids: Vec<Uuid> = named.into_iter().collect();
        contracts.extend(contract::sql::find_many(connection, company_id, &ids).await?);
    }
    contracts.retain(|contract| locked.is_none_or(|locked| locked.contains(&contract.id)));
    found.situation.contracts = contracts.into_iter().map(|contract| (contract.id, contract)).collect();
    Ok(found)
}

/// Locks the candidates and the races of `calls`, waiting, and reads them under the locks.
pub(super) async fn lock<V: RaceVerb>(connection: &mut PgConnection, calls: &[&V]) -> Result<Found> {
    let seen = read(connection, calls, None).await?;
    let company_id = seen.situation.company_id;
    let contracts: HashSet<Uuid> = seen.situation.contracts.keys().copied().collect();
    if !contracts.is_empty() {
        let ids: Vec<Uuid> = contracts.iter().copied().collect();
        contract::sql::lock_share(connection, company_id, &ids).await?;
    }
    let keys: Vec<Uuid> = calls.iter().filter_map(|call| seen.key(call.invocation().target)).collect();
    sql::races::lock(connection, company_id, &keys).await?;
    // Writers of messages lock only their chat.
    sql::races::lock_chats(connection, company_id, &keys).await?;
    // Read again, by statements whose snapshots are newer than the locks.
    read(connection, calls, Some(&contracts)).await
}

/// Tries to lock the races of `calls`, which need no contracts, and reads them under the locks. Never waits. Of each call:
/// false if somebody else has its race or one of its chats locked.
pub(super) async fn try_lock<V: RaceVerb>(connection: &mut PgConnection, calls: &[&V]) -> Result<(Found, Vec<bool>)> {
    let company_id = calls.first().map(|call| call.invocation().company_id).unwrap_or_default();
    let (mut keys, mut chat_ids) = (Vec::new(), Vec::new());
    for call in calls {
        match call.invocation().target {
            Target::Key(key) => keys.push(key),
            Target::RaceOf(chat_id) => chat_ids.push(chat_id),
        }
    }
    let races = sql::races::try_lock(connection, company_id, &keys, &chat_ids).await?;
    // Writers of messages lock only their chat.
    let chats = sql::races::try_lock_chats(connection, company_id, &races).await?;
    let found = read(connection, calls, None).await?;
    let is_held = |call: &&V| {
        // A race that is not there is locked by nobody.
        let Some(seen) = found.key(call.invocation().target).and_then(|key| found.situation.races.get(&key)) else {
            return true;
        };
        races.contains(&seen.race.record.key) && seen.race.chats.iter().all(|chat| chats.contains(&chat.id))
    };
    let is_held = calls.iter().map(is_held).collect();
    Ok((found, is_held))
}

/// What some calls come to.
struct Decided<T> {
    /// Each with the key of its race; a call without a race has its chat's id there, which is no race's key.
    outcomes: Vec<(Uuid, Result<T>)>,
    writes: Vec<RaceWrite>,
    changed: HashSet<Uuid>,
    /// Metrics of each race's calls.
    counts: Vec<(Uuid, Changes)>,
}

fn decide<V: RaceVerb>(calls: &[&V], found: &Found) -> Result<Decided<V::Outcome>> {
    let mut decisions: BTreeMap<Uuid, Decision<'_>> = BTreeMap::new();
    let mut outcomes = Vec::with_capacity(calls.len());
    for call in calls {
        let Some(key) = found.key(call.invocation().target) else {
            outcomes.push((Batched::subject(*call), Err(Error::not_found("chat"))));
            continue;
        };
        let decision = decisions.entry(key).or_insert_with(|| Decision::new(&found.situation, key));
        outcomes.push((key, decision.call(call.invocation().caller, |decision| call.decide(decision))));
    }
    let (mut writes, mut counts) = (Vec::new(), Vec::new());
    for (key, decision) in decisions {
        let (write, counted) = decision.into_write()?;
        writes.extend(write);
        counts.push((key, counted));
    }
    let changed = writes.iter().map(|write| write.race.key).collect();
    Ok(Decided { outcomes, writes, changed, counts })
}

/// Writes decided races; returns the keys of those whose premises hold.
pub(super) async fn write(unit: &mut Unit<'_>, company_id: Uuid, writes: Vec<RaceWrite>) -> Result<HashSet<Uuid>> {
    if writes.is_empty() {
        return Ok(HashSet::new());
    }
    let written = sql::write(unit.connection(), company_id, &writes).await?;
    for write in writes {
        if written.contains(&write.race.key) {
            unit.changes_written(write.changes);
        }
    }
    Ok(written)
}

/// Decides and writes `calls` on what [`lock`] found. A call whose race is gone is no longer needed.
///
/// # Errors
/// The first call's that is refused.
pub(super) async fn write_locked<V: RaceVerb>(unit: &mut Unit<'_>, calls: &[&V], found: &Found) -> Result<()> {
    let decided = decide(calls, found)?;
    let refusal = decided.outcomes.into_iter().filter_map(|(_, outcome)| outcome.err());
    if let Some(error) = refusal.into_iter().find(|error| error.code() != Code::NotFound) {
        return Err(error);
    }
    for (_, counts) in decided.counts {
        unit.changes_written(counts);
    }
    let expected = decided.changed.len();
    let written = write(unit, found.situation.company_id, decided.writes).await?;
    if written.len() == expected { Ok(()) } else { Err(Error::internal("a premise failed under locks")) }
}
