//! Begins of DIAL that arrive together.
//!
//! When slots are given away, dialers ask for many calls at once. Each of them changes another call, so they share a
//! transaction: one flush, and one statement of each sort for all of them.
//!
//! A batch takes only what is plain: calls that have a row which nobody else has locked, each once. All else runs alone
//! afterwards, where it may wait.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use uuid::Uuid;

use super::{
    begin_operation::{Begin, Begun},
    locked::LockedCall,
    operation::Operations,
    record::{CALL_OPERATION_CHANGED, CallName},
    rules::work::BeginOutcome,
    sql,
};
use crate::platform::{
    batch::{Batched, CallOutcome, Outcomes, WritePath},
    error::{Error, Result},
    unit::Unit,
};

/// A dialer that wants to dial, in a batch.
pub(super) struct Dial(pub(super) Begin);

impl Batched for Dial {
    const KIND: &'static str = "beginCallOperation";
    const IS_ALWAYS_LOCKED: bool = true;
    /// `None`: it has to run alone.
    type Outcome = Option<Begun>;

    fn company_id(&self) -> Uuid {
        self.0.company_id
    }

    fn subject(&self) -> Uuid {
        // One batch at a time in a company: what arrives meanwhile makes the next one larger.
        self.0.company_id
    }

    fn caller(&self) -> Option<&str> {
        Some(&self.0.actor)
    }

    async fn run(dials: &[Arc<Self>], unit: &mut Unit<'_>, path: WritePath) -> Result<Outcomes<Self::Outcome>> {
        let Some(company_id) = dials.first().map(|dial| dial.0.company_id) else { return Ok(Vec::new()) };
        if path == WritePath::Guarded {
            return Ok(dials.iter().map(|_| CallOutcome::PremiseFailed { subject: company_id }).collect());
        }
        let names: Vec<&CallName> = dials.iter().map(|dial| &dial.0.new.name).collect();
        let mut seen = HashSet::new();
        // The second dialer of a call finds what the first one has written.
        let ids: Vec<Option<Uuid>> = sql::find_ids(unit.connection(), company_id, &names)
            .await?
            .into_iter()
            .map(|id| id.filter(|id| seen.insert(*id)))
            .collect();
        let wanted: Vec<Uuid> = ids.iter().flatten().copied().collect();
        let (calls, _) = LockedCall::try_lock(unit, company_id, &wanted).await?;
        let mut calls: HashMap<Uuid, LockedCall> = calls.into_iter().map(|locked| (locked.call.id, locked)).collect();
        let mut outcomes: Vec<CallOutcome<Self::Outcome>> =
            dials.iter().map(|_| CallOutcome::Decided(Ok(None))).collect();
        let mut dialled: Vec<(usize, LockedCall)> = Vec::new();
        for (place, id) in ids.into_iter().enumerate() {
            let Some(locked) = id.and_then(|id| calls.remove(&id)) else { continue };
            if dials[place].0.is_too_late(&locked.call) {
                outcomes[place] = CallOutcome::Decided(Ok(Some((BeginOutcome::CallEnded, None))));
            } else {
                dialled.push((place, locked));
            }
        }
        for (place, begun) in begin(dials, &mut dialled, unit).await? {
            outcomes[place] = CallOutcome::Decided(begun.map(Some));
        }
        Ok(outcomes)
    }
}

/// Decides and writes. One outcome for each call, with the place of its dialer.
async fn begin(
    dials: &[Arc<Dial>],
    dialled: &mut [(usize, LockedCall)],
    unit: &mut Unit<'_>,
) -> Result<Vec<(usize, Result<Begun>)>> {
    let mut read: Vec<_> = dialled.iter_mut().map(|(place, locked)| (locked, Some(dials[*place].0.own()))).collect();
    let mut all = Operations::read_all(unit, &mut read).await?;
    let mut outcomes = Vec::with_capacity(dialled.len());
    for ((place, locked), operations) in dialled.iter_mut().zip(&mut all) {
        let begin = &dials[*place].0;
        outcomes.push((*place, begin.decide(unit, locked, operations)));
        // Also of a call whose dialer is refused: leases of it may have ended.
        locked.record(unit, CALL_OPERATION_CHANGED, Some(&begin.actor))?;
    }
    if outcomes.len() != dialled.len() {
        return Err(Error::internal("a locked call is gone"));
    }
    Operations::finish_all(unit, all).await?;
    LockedCall::write_all(unit, &dialled.iter().map(|(_, locked)| locked).collect::<Vec<_>>()).await?;
    Ok(outcomes)
}
