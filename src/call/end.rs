//! Ends of calls that arrive together.
//!
//! Whatever may end a call locks the slots of its company, because the end frees a slot, which is given away at once. With a
//! transaction for each end that one row would be passed on a few hundred times a second. So ends that arrive together share
//! a transaction: one lock, one write of all their calls, one dispatch.
//!
//! A batch takes only what is plain: calls that have a row which nobody else has locked. All else runs alone afterwards,
//! where it may wait: a call that is still queued, a name that no call has, a call that is not known.

use std::{collections::HashMap, sync::Arc};

use uuid::Uuid;

use super::{
    answer::Answer,
    locked::LockedCall,
    record::CallName,
    report::{self, ReportOutcome, Tell},
    sql,
};
use crate::{
    call_queue::slots,
    platform::{
        batch::{Batched, CallOutcome, Outcomes, WritePath},
        error::Result,
        idempotency::{IdempotencyKey, KeyedCalls},
        unit::Unit,
    },
};

/// News that may end its call, in a batch.
pub(super) struct End {
    pub(super) tell: Tell,
    pub(super) key: Option<IdempotencyKey>,
}

impl Batched for End {
    const KIND: &'static str = "updateCallStatus";
    const IS_ALWAYS_LOCKED: bool = true;
    /// `None`: it has to run alone.
    type Outcome = Option<Answer<ReportOutcome>>;

    fn company_id(&self) -> Uuid {
        self.tell.company_id
    }

    fn subject(&self) -> Uuid {
        // The lock that carries the decision is the company's.
        self.tell.company_id
    }

    fn caller(&self) -> Option<&str> {
        Some(&self.tell.actor)
    }

    async fn run(ends: &[Arc<Self>], unit: &mut Unit<'_>, path: WritePath) -> Result<Outcomes<Self::Outcome>> {
        if path == WritePath::Guarded {
            // Nothing is decided without the lock.
            return Ok(ends.iter().map(|end| CallOutcome::PremiseFailed { subject: end.tell.company_id }).collect());
        }
        let keyed = KeyedCalls::begin(unit, ends.iter().map(|end| end.key.as_ref()).collect()).await?;
        let fresh: Vec<&Tell> = keyed.fresh().into_iter().map(|index| &ends[index].tell).collect();
        let told = tell(&fresh, unit).await?;
        let outcomes = keyed.finish(unit, told).await?;
        Ok(outcomes.into_iter().map(|outcome| CallOutcome::Decided(outcome.transpose())).collect())
    }
}

/// Runs news of one company in its order. One outcome for each; `None`: it has to run alone.
async fn tell(news: &[&Tell], unit: &mut Unit<'_>) -> Result<Vec<Option<Result<Answer<ReportOutcome>>>>> {
    let Some(company_id) = news.first().map(|tell| tell.company_id) else { return Ok(Vec::new()) };
    slots::lock(unit, company_id).await?;
    // Names before calls.
    let mut names = lock_names(news, unit, company_id).await?;
    let of: Vec<&CallName> = news.iter().map(|tell| &tell.report.name).collect();
    let ids = sql::find_ids(unit.connection(), company_id, &of).await?;
    let mut wanted: Vec<Uuid> = ids.iter().flatten().copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let (mut calls, _) = LockedCall::try_lock(unit, company_id, &wanted).await?;
    // In the order of their news, in which their slots are given away.
    calls.sort_by_key(|locked| ids.iter().position(|id| *id == Some(locked.call.id)));
    let mut outcomes = Vec::with_capacity(news.len());
    for (tell, id) in news.iter().zip(ids) {
        let Some(locked) = calls.iter_mut().find(|locked| Some(locked.call.id) == id) else {
            outcomes.push(None);
            continue;
        };
        let assigned = tell.report.assign_call_control_id.as_deref();
        let owner = assigned.and_then(|name| names.get(name).copied().flatten());
        let outcome = tell.merge(unit, locked, owner).await?;
        if outcome.is_ok() {
            names.extend(assigned.map(|name| (name, Some(locked.call.id))));
        }
        outcomes.push(Some(outcome));
    }
    report::write(unit, &calls).await?;
    // Whoever was refused leaves no name behind.
    let unused: Vec<String> =
        names.into_iter().filter(|(_, id)| id.is_none()).map(|(name, _)| name.to_owned()).collect();
    if !unused.is_empty() {
        sql::delete_names(unit.connection(), &vec![company_id; unused.len()], &unused).await?;
    }
    Ok(outcomes)
}

/// Locks the names that are assigned, in their order; of each the call that has it.
async fn lock_names<'n>(
    news: &[&'n Tell],
    unit: &mut Unit<'_>,
    company_id: Uuid,
) -> Result<HashMap<&'n str, Option<Uuid>>> {
    let mut names: Vec<&str> = news.iter().filter_map(|tell| tell.report.assign_call_control_id.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    let mut locked = HashMap::new();
    for name in names {
        locked.insert(name, sql::lock_name(unit.connection(), company_id, name).await?);
    }
    Ok(locked)
}
