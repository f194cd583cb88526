//! What comes due in a queue: retries get their places, silent slots are asked about and then freed.
//!
//! One timer of each purpose a company, at the earliest time: renewing a slot touches none. A timer that comes early finds
//! nothing due and is set again.

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{CALL_QUEUE, slots, sql};
use crate::{
    call::{
        locked::LockedCall,
        record::{CALL_ASKED, CALL_LEASE_EXPIRED, CALL_RENEWED},
        rules::{self, CallStatus, EndReason, News},
        sql as call_sql,
    },
    platform::{
        error::{Error, Result},
        event::Subject,
        timer::{self, Handler, HandlerRef, Timer, Tried},
        unit::Unit,
    },
};

/// Purpose of the timer of retries, and of work that a dispatch left.
pub(super) const DUE: &str = "due";
/// Purpose of the timer of silent slots.
pub(super) const LEASE: &str = "lease";
/// Purpose of the timer by which the items of a canceled line are written.
pub(super) const WRITE_CANCELED: &str = "write_canceled";
/// Items that one transaction writes.
const MOST_WRITTEN: i32 = 500;
/// Most retries that get their places in one transaction.
const MOST_ADMITTED: i32 = 500;
/// Pause before the next look at a silent call that somebody had locked.
const LOOK_AGAIN: Duration = Duration::seconds(1);

async fn try_lock(unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<Option<Uuid>>> {
    // All of one company, whose queue is the subject.
    let Some(company_id) = timers.first().map(|timer| timer.company_id) else {
        return Ok(Tried { locked: None, is_held: Vec::new() });
    };
    let is_held = slots::try_lock(unit, company_id).await?;
    Ok(Tried { locked: is_held.then_some(company_id), is_held: timers.iter().map(|_| is_held).collect() })
}

struct DueTimer;

impl Handler for DueTimer {
    const SUBJECT_TYPE: &'static str = CALL_QUEUE;
    const PURPOSE: &'static str = DUE;
    type Locked = Option<Uuid>;

    async fn try_lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<Option<Uuid>>> {
        try_lock(unit, timers).await
    }

    async fn fire(&self, unit: &mut Unit<'_>, locked: Option<Uuid>, _: &[Timer]) -> Result<()> {
        let Some(company_id) = locked else { return Ok(()) };
        sql::admit_due(unit.connection(), company_id, MOST_ADMITTED).await?;
        sql::disarm(unit.connection(), company_id).await?;
        slots::dispatch(unit, company_id).await
    }
}

struct LeaseTimer;

impl Handler for LeaseTimer {
    const SUBJECT_TYPE: &'static str = CALL_QUEUE;
    const PURPOSE: &'static str = LEASE;
    type Locked = Option<Uuid>;

    async fn try_lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<Option<Uuid>>> {
        try_lock(unit, timers).await
    }

    async fn fire(&self, unit: &mut Unit<'_>, locked: Option<Uuid>, _: &[Timer]) -> Result<()> {
        let Some(company_id) = locked else { return Ok(()) };
        let now = call_sql::now(unit.connection()).await?;
        let silent = sql::silent_slots(unit.connection(), company_id).await?;
        let due: Vec<Uuid> = silent.iter().filter(|slot| slot.due_at <= now).map(|slot| slot.call_id).collect();
        let (calls, others) = LockedCall::try_lock(unit, company_id, &due).await?;
        let mut has_skipped = !others.is_empty();
        let mut is_freed = false;
        // Renewing needs the call's lock only where it was asked about; so it may have happened meanwhile, and does not from
        // here on.
        let locked: Vec<Uuid> = calls.iter().map(|call| call.call.id).collect();
        sql::hold_slots(unit.connection(), company_id, &locked).await?;
        let fresh = sql::silent_slots(unit.connection(), company_id).await?;
        for call in calls {
            let Some(slot) = fresh.iter().find(|slot| slot.call_id == call.call.id) else { continue };
            is_freed |= judge(unit, call, slot, now).await?;
        }
        let left = sql::silent_slots(unit.connection(), company_id).await?;
        has_skipped |= left.iter().any(|slot| slot.due_at <= now);
        let next = left.iter().map(|slot| slot.due_at).min();
        let next = next.map(|next| if has_skipped { now + LOOK_AGAIN } else { next });
        sql::set_lease_at(unit.connection(), company_id, next).await?;
        sql::disarm(unit.connection(), company_id).await?;
        if is_freed { slots::dispatch(unit, company_id).await } else { slots::arm(unit, company_id).await }
    }
}

/// Asks about a silent call, or ends it if that was done for the length of a lease. True if it was ended. The slots are
/// locked, then the call, then its slot.
async fn judge(unit: &mut Unit<'_>, mut call: LockedCall, slot: &sql::SilentSlot, now: OffsetDateTime) -> Result<bool> {
    let company_id = call.call.company_id;
    if slot.due_at > now {
        if call.call.asked && slot.asked_at.is_none() {
            call.call.asked = false;
            call.write(unit, CALL_RENEWED, None).await?;
        }
        return Ok(false);
    }
    if slot.asked_at.is_none() {
        sql::ask(unit.connection(), company_id, slot.call_id, now).await?;
        call.call.asked = true;
        unit.changes().count("switchboard_call_leases_total", &[("outcome", "asked")]);
        call.write(unit, CALL_ASKED, None).await?;
        return Ok(false);
    }
    call.call.asked = false;
    let end = News { status: CallStatus::Ended, end_reason: Some(EndReason::LeaseExpired), occurred_at: now };
    rules::merge(&mut call.call, &end);
    unit.changes().count("switchboard_call_leases_total", &[("outcome", "expired")]);
    call.write(unit, CALL_LEASE_EXPIRED, None).await?;
    Ok(true)
}

/// Writes the items that were canceled with their line, 500 in a transaction, outside the lock of the slots.
struct WriteCanceledTimer;

impl Handler for WriteCanceledTimer {
    const SUBJECT_TYPE: &'static str = CALL_QUEUE;
    const PURPOSE: &'static str = WRITE_CANCELED;
    type Locked = ();

    async fn try_lock(&self, _: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<()>> {
        // The timer itself is the lock: one server has it.
        Ok(Tried { locked: (), is_held: timers.iter().map(|_| true).collect() })
    }

    async fn fire(&self, unit: &mut Unit<'_>, (): (), due: &[Timer]) -> Result<()> {
        let Some(timer) = due.first() else { return Ok(()) };
        let now = call_sql::now(unit.connection()).await?;
        for timer in due {
            // The others of this transaction come next.
            let line_id: Uuid = timer.subject_id.parse().map_err(Error::internal)?;
            unit.changes().timer(timer.company_id, &Subject::new(CALL_QUEUE, line_id), WRITE_CANCELED, None, Some(now));
        }
        let line_id: Uuid = timer.subject_id.parse().map_err(Error::internal)?;
        let written = sql::write_canceled(unit.connection(), timer.company_id, line_id, MOST_WRITTEN).await?;
        slots::canceled(unit, timer.company_id, &written).await?;
        if written.len() < usize::try_from(MOST_WRITTEN).unwrap_or(usize::MAX) {
            let subject = Subject::new(CALL_QUEUE, line_id);
            unit.changes().timer(timer.company_id, &subject, WRITE_CANCELED, Some(now), None);
        }
        Ok(())
    }
}

/// What is done when timers of this concept come due.
pub(super) fn handlers() -> Vec<HandlerRef> {
    vec![timer::handler(DueTimer), timer::handler(LeaseTimer), timer::handler(WriteCanceledTimer)]
}
