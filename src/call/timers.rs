//! What comes due: a call is hung up, and hung up again if its end is not reported.

use uuid::Uuid;

use super::{
    finalize, hang_up,
    locked::LockedCall,
    operation::Operations,
    record::{
        CALL, CALL_HANG_UP_REQUESTED, CALL_OPERATION_CHANGED, CALL_OPERATIONS, EXPIRE, FINALIZE, HANG_UP, RETRY_HANG_UP,
    },
};
use crate::{
    call_queue::slots,
    platform::{
        error::{Error, Result},
        timer::{self, Handler, HandlerRef, Timer, Tried},
        unit::Unit,
    },
};

/// Hangs calls up.
struct HangUpTimer;

impl Handler for HangUpTimer {
    const SUBJECT_TYPE: &'static str = CALL;
    const PURPOSE: &'static str = HANG_UP;
    type Locked = Vec<LockedCall>;

    async fn try_lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<Vec<LockedCall>>> {
        // A call whose dialer has gone is reserved again: hanging it up ends it and frees its slot.
        let Some(first) = timers.first() else { return Ok(Tried { locked: Vec::new(), is_held: Vec::new() }) };
        if !slots::try_lock(unit, first.company_id).await? {
            return Ok(Tried { locked: Vec::new(), is_held: timers.iter().map(|_| false).collect() });
        }
        try_lock(unit, timers).await
    }

    async fn fire(&self, unit: &mut Unit<'_>, locked: Vec<LockedCall>, due: &[Timer]) -> Result<()> {
        for call in due_calls(locked, due).filter(|call| call.call.hang_up_at.is_some()) {
            hang_up::hang_up(unit, call, None).await?;
        }
        Ok(())
    }
}

/// Has calls hung up again whose end was not reported.
struct RetryTimer;

impl Handler for RetryTimer {
    const SUBJECT_TYPE: &'static str = CALL;
    const PURPOSE: &'static str = RETRY_HANG_UP;
    type Locked = Vec<LockedCall>;

    async fn try_lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<Vec<LockedCall>>> {
        try_lock(unit, timers).await
    }

    async fn fire(&self, unit: &mut Unit<'_>, locked: Vec<LockedCall>, due: &[Timer]) -> Result<()> {
        for mut call in due_calls(locked, due) {
            call.call.hung_up_until = None;
            call.write(unit, CALL_HANG_UP_REQUESTED, None).await?;
        }
        Ok(())
    }
}

/// Ends the leases of operations.
struct ExpireTimer;

impl Handler for ExpireTimer {
    const SUBJECT_TYPE: &'static str = CALL_OPERATIONS;
    const PURPOSE: &'static str = EXPIRE;
    type Locked = Vec<LockedCall>;

    async fn try_lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<Vec<LockedCall>>> {
        try_lock(unit, timers).await
    }

    async fn fire(&self, unit: &mut Unit<'_>, locked: Vec<LockedCall>, due: &[Timer]) -> Result<()> {
        for mut call in due_calls(locked, due) {
            // Reading takes those away whose leases have ended.
            let operations = Operations::read(unit, &mut call, None).await?;
            operations.finish(unit).await?;
            call.write(unit, CALL_OPERATION_CHANGED, None).await?;
        }
        Ok(())
    }
}

/// Closes transcripts whose drain has lasted long enough.
struct FinalizeTimer;

impl Handler for FinalizeTimer {
    const SUBJECT_TYPE: &'static str = CALL;
    const PURPOSE: &'static str = FINALIZE;
    type Locked = Vec<LockedCall>;

    async fn try_lock(&self, unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<Vec<LockedCall>>> {
        try_lock(unit, timers).await
    }

    async fn fire(&self, unit: &mut Unit<'_>, locked: Vec<LockedCall>, due: &[Timer]) -> Result<()> {
        for call in due_calls(locked, due) {
            finalize::finalize_due(unit, call).await?;
        }
        Ok(())
    }
}

/// Locks those calls of some timers, which are of one company, that nobody else has locked.
async fn try_lock(unit: &mut Unit<'_>, timers: &[Timer]) -> Result<Tried<Vec<LockedCall>>> {
    let Some(first) = timers.first() else { return Ok(Tried { locked: Vec::new(), is_held: Vec::new() }) };
    let ids = timers.iter().map(|timer| timer.subject_id.parse().map_err(Error::internal));
    let ids = ids.collect::<Result<Vec<Uuid>>>()?;
    let (locked, others) = LockedCall::try_lock(unit, first.company_id, &ids).await?;
    Ok(Tried { locked, is_held: ids.iter().map(|id| !others.contains(id)).collect() })
}

/// Those of the locked calls whose timers are due.
fn due_calls(locked: Vec<LockedCall>, due: &[Timer]) -> impl Iterator<Item = LockedCall> {
    locked.into_iter().filter(|call| {
        let (company_id, id) = (call.call.company_id, call.call.id.to_string());
        due.iter().any(|timer| timer.company_id == company_id && timer.subject_id == id)
    })
}

/// What is done when timers of this concept come due.
pub(super) fn handlers() -> Vec<HandlerRef> {
    vec![
        timer::handler(HangUpTimer),
        timer::handler(RetryTimer),
        timer::handler(ExpireTimer),
        timer::handler(FinalizeTimer),
    ]
}
