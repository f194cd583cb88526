//! Slots: locked, taken, freed, given away. Every verb that touches them, here and in `call`, goes through these functions.
//!
//! Order of locks: an idempotency key, the slots, the name of a call, the call. A verb that may end a call, or may give it
//! its name (parked news may end it), locks the slots first of all.

use std::time::Instant;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{CALL_QUEUE, CancelOutcome, campaign, sql, timers};
use crate::{
    call::{
        CallRecord,
        record::{CALL_CANCELED, CALL_DISPATCHED, CALL_QUEUED},
        rules::{CallStatus, EndReason},
        sql as call_sql,
    },
    platform::{
        error::{Error, Result},
        event::Subject,
        unit::{Lines, Unit},
    },
};

/// Most calls that one transaction dispatches: the lock is held for milliseconds.
const MOST_DISPATCHED: i32 = 500;

/// Where a verb of the queue waits in this process: one at a time in a company.
pub(crate) fn lines(company_id: Uuid, actor: &str) -> Lines {
    Lines { subject: Some((company_id, company_id)), caller: Some((company_id, actor.to_owned())) }
}

/// Locks the slots of a company, unless this unit has locked them before.
pub(crate) async fn lock(unit: &mut Unit<'_>, company_id: Uuid) -> Result<()> {
    if !unit.holds(CALL_QUEUE, company_id) {
        sql::lock_slots(unit.connection(), company_id).await?;
        unit.note_lock(CALL_QUEUE, company_id);
    }
    Ok(())
}

/// Locks the slots of a company unless somebody else has them; then false.
pub(crate) async fn try_lock(unit: &mut Unit<'_>, company_id: Uuid) -> Result<bool> {
    if sql::try_lock_slots(unit.connection(), company_id).await? {
        unit.note_lock(CALL_QUEUE, company_id);
        return Ok(true);
    }
    // Somebody has them, or nobody ever needed any.
    if sql::has_slots(unit.connection(), company_id).await? {
        return Ok(false);
    }
    lock(unit, company_id).await?;
    Ok(true)
}

/// Gives an inbound call a slot, whatever the limits. The slots are locked.
pub(crate) async fn take(unit: &mut Unit<'_>, call: &CallRecord, now: OffsetDateTime) -> Result<()> {
    sql::take_slot(unit.connection(), call, now).await?;
    arm(unit, call.company_id).await
}

/// Gives free slots to what waits, and tells dialers. The slots are locked. The end of every verb that locks them.
pub(crate) async fn dispatch(unit: &mut Unit<'_>, company_id: Uuid) -> Result<()> {
    give_away(unit, company_id).await?;
    campaign::settle(unit, company_id).await?;
    arm(unit, company_id).await
}

/// Gives free slots to what waits, and tells dialers; returns the calls that got one.
async fn give_away(unit: &mut Unit<'_>, company_id: Uuid) -> Result<Vec<CallRecord>> {
    let dispatched = sql::dispatch(unit.connection(), company_id, MOST_DISPATCHED).await?;
    for call in &dispatched {
        let before = CallRecord { status: CallStatus::Queued, version: call.version - 1, ..call.clone() };
        unit.changes().record(CALL_DISPATCHED, None, call, Some(&before))?;
        let label = if call.campaign_id.is_some() { "campaign" } else { "direct" };
        unit.changes().count("switchboard_call_queue_dispatched_total", &[("type", label)]);
        // What a new try waited for is the campaign's rule.
        if let Some(queued_at) = call.queued_at.filter(|_| call.attempt == 1) {
            let waited = (call.inserted_at - queued_at).as_seconds_f64();
            unit.changes().observe("switchboard_call_queue_wait_seconds", &[("type", label)], waited);
        }
    }
    Ok(dispatched)
}

/// Sets the timers of a queue for what is due next. The slots are locked.
pub(crate) async fn arm(unit: &mut Unit<'_>, company_id: Uuid) -> Result<()> {
    let Some((due_at, lease_at)) = sql::arm(unit.connection(), company_id).await? else { return Ok(()) };
    let subject = Subject::new(CALL_QUEUE, company_id);
    // The row was changed: it is written, whatever was set before.
    for (purpose, at) in [(timers::DUE, due_at), (timers::LEASE, lease_at)] {
        let before = if at.is_none() { Some(OffsetDateTime::UNIX_EPOCH) } else { None };
        unit.changes().timer(company_id, &subject, purpose, before, at);
    }
    unit.mark_changed();
    Ok(())
}

/// Frees the slots of calls that have just ended, settles their items and dispatches. The calls are locked, and the slots
/// before them.
pub(crate) async fn release(unit: &mut Unit<'_>, company_id: Uuid, ended: &[&CallRecord]) -> Result<()> {
    lock(unit, company_id).await?;
    let began = Instant::now();
    let again = sql::release(unit.connection(), company_id, ended).await?;
    if !again.is_empty() {
        queued(unit, company_id, &again, None).await?;
        for _ in &again {
            unit.changes().count("switchboard_call_queue_retries_total", &[]);
        }
    }
    let dispatched = give_away(unit, company_id).await?;
    // A slot that was freed and given away is one observation.
    for _ in 0..dispatched.len().min(ended.len()) {
        unit.changes().observe_since("switchboard_call_queue_dispatch_seconds", &[], began);
    }
    if ended.iter().copied().chain(&dispatched).any(|call| call.campaign_id.is_some()) {
        campaign::settle(unit, company_id).await?;
    }
    arm(unit, company_id).await
}

/// Appends the first event of calls that were queued; returns them.
pub(crate) async fn queued(
    unit: &mut Unit<'_>,
    company_id: Uuid,
    call_ids: &[Uuid],
    actor: Option<&str>,
) -> Result<Vec<CallRecord>> {
    let calls = sql::calls_of_items(unit.connection(), company_id, call_ids).await?;
    for call in &calls {
        unit.changes().record(CALL_QUEUED, actor, call, None)?;
        let label = if call.campaign_id.is_some() { "campaign" } else { "direct" };
        unit.changes().count("switchboard_call_queue_queued_total", &[("type", label)]);
    }
    Ok(calls)
}

/// Cancels an item that waits; `None`: there is none. The slots are locked.
pub(crate) async fn cancel(
    unit: &mut Unit<'_>,
    company_id: Uuid,
    id: Uuid,
    actor: Option<&str>,
) -> Result<Option<CancelOutcome>> {
    let Some(outcome) = sql::cancel(unit.connection(), company_id, id).await? else { return Ok(None) };
    if outcome != CancelOutcome::Canceled {
        return Ok(Some(outcome));
    }
    for call in sql::calls_of_item(unit.connection(), company_id, id).await? {
        unit.changes().record(CALL_CANCELED, actor, &call, Some(&waiting(&call)))?;
    }
    unit.changes().count("switchboard_call_queue_canceled_total", &[]);
    dispatch(unit, company_id).await?;
    Ok(Some(outcome))
}

/// Cancels everything that waits in a line; returns how many. Their rows and events are written by a timer, in steps. The
/// slots are locked.
pub(crate) async fn cancel_line(unit: &mut Unit<'_>, company_id: Uuid, line_id: Uuid) -> Result<i32> {
    let canceled = sql::cancel_line(unit.connection(), company_id, line_id).await?;
    if canceled > 0 {
        let now = call_sql::now(unit.connection()).await?;
        unit.changes().timer(company_id, &Subject::new(CALL_QUEUE, line_id), timers::WRITE_CANCELED, None, Some(now));
    }
    Ok(canceled)
}

/// Appends the events of items that were canceled with their line, and whose rows say so now.
pub(super) async fn canceled(unit: &mut Unit<'_>, company_id: Uuid, call_ids: &[Uuid]) -> Result<()> {
    for call in sql::calls_of_items(unit.connection(), company_id, call_ids).await? {
        unit.changes().record(CALL_CANCELED, None, &call, Some(&waiting(&call)))?;
    }
    Ok(())
}

/// The record of a canceled call while it waited.
fn waiting(call: &CallRecord) -> CallRecord {
    CallRecord {
        status: CallStatus::Queued,
        end_reason: None,
        told_reason: None,
        told_at: None,
        ended_at: None,
        generation: 1,
        version: call.version - 1,
        ..call.clone()
    }
}

/// What a verb of `call` finds instead of a call's row.
#[derive(Debug)]
pub(crate) enum Undispatched {
    /// It waited, and was canceled now.
    Canceled(CallRecord),
    /// It had been canceled while it waited.
    Ended(CallRecord),
}

/// Ends a call that waits, for a verb that asks for its end. `None`: the call was dispatched, or is none of the queue's;
/// the verb goes on. The slots are locked.
pub(crate) async fn end_queued(
    unit: &mut Unit<'_>,
    company_id: Uuid,
    call_id: Uuid,
    actor: Option<&str>,
) -> Result<Option<Undispatched>> {
    let find = [call_id];
    let Some(call) = sql::calls_of_items(unit.connection(), company_id, &find).await?.pop() else { return Ok(None) };
    if call_sql::has_row(unit.connection(), company_id, call_id).await? {
        return Ok(None);
    }
    if call.status == CallStatus::Ended {
        return Ok(Some(Undispatched::Ended(call)));
    }
    let Some(id) = sql::item_of_call(unit.connection(), company_id, call_id).await? else { return Ok(None) };
    cancel(unit, company_id, id, actor).await?;
    let call = sql::calls_of_items(unit.connection(), company_id, &find).await?.pop();
    call.map(|call| Some(Undispatched::Canceled(call))).ok_or_else(|| Error::internal("a canceled call is gone"))
}

/// The record of a call that has no row.
pub(super) fn undispatched(row: sql::ItemCall) -> CallRecord {
    let ended_at = if row.is_queued { None } else { Some(row.left_at.unwrap_or(OffsetDateTime::UNIX_EPOCH)) };
    let reason = ended_at.map(|_| EndReason::Canceled);
    let queued_at = row.queued_at;
    CallRecord {
        company_id: row.company_id,
        id: row.id,
        call_control_id: None,
        user_id: row.user_id,
        agent_id: row.agent_id,
        call_type: row.call_type,
        campaign_id: row.campaign_id,
        phone_number: row.phone_number,
        contact_id: row.contact_id,
        contact_name: row.contact_name,
        user_data: row.user_data,
        attempt: row.attempt,
        inbound: false,
        status: if row.is_queued { CallStatus::Queued } else { CallStatus::Ended },
        end_reason: reason,
        told_reason: reason,
        told_at: ended_at,
        untold_at: None,
        pending_hang_up: false,
        dialing: false,
        dialed: false,
        hanging_up: false,
        hung_up_until: None,
        asked: false,
        generation: if row.is_queued { 1 } else { 2 },
        version: row.version,
        queued_at: Some(queued_at),
        started_at: None,
        answered_at: None,
        ended_at,
        hang_up_at: None,
        finalize_at: None,
        finalized_at: None,
        abandoned: 0,
        lease_expires_at: None,
        inserted_at: queued_at,
        updated_at: ended_at.unwrap_or(queued_at),
    }
}

/// As [`end_queued`], for a verb that has not locked the slots: they are locked only if the call may be waiting or undialled.
pub(crate) async fn end_undialled(
    unit: &mut Unit<'_>,
    company_id: Uuid,
    call_id: Uuid,
    actor: Option<&str>,
) -> Result<Option<Undispatched>> {
    // A status only moves forward: a call that is further now needs no slots later.
    let seen = call_sql::find_calls(unit.connection(), company_id, &[call_id]).await?.pop();
    if !seen.is_some_and(|call| matches!(call.status, CallStatus::Queued | CallStatus::Reserved | CallStatus::Ended)) {
        return Ok(None);
    }
    lock(unit, company_id).await?;
    end_queued(unit, company_id, call_id, actor).await
}

/// Renews the slots of locked calls, of which there was news.
pub(crate) async fn renew(unit: &mut Unit<'_>, company_id: Uuid, ids: &[Uuid], now: OffsetDateTime) -> Result<()> {
    if !ids.is_empty() && !sql::renew(unit.connection(), company_id, ids, now).await?.is_empty() {
        unit.mark_changed();
    }
    Ok(())
}
