//! `finalizeCall`: closes a call's transcript, exactly once, after its running operations.
//!
//! ```text
//! finalize ─► something runs? ── no ──► finalized
//!                 └ yes ─► finalize_at and its timer, commit ─► wait for an event of the call's operations, or the time
//!                                    ▲                                 │  no connection, no lock
//!                                    └────── look again ◄──────────────┘
//! ```
//! The drain counts SPEECH, STREAM and TRANSFER. The first request sets the time, later ones only shorten it; all of them
//! wait. Whoever's transaction closes the transcript gets FINALIZED; if the timer was first, because every server that
//! waited has died, nobody does. What still runs then is abandoned: counted, and its token is stale.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    Calls,
    locked::LockedCall,
    operation::Operations,
    record::{CALL, CALL_FINALIZE_REQUESTED, CALL_FINALIZED, CALL_OPERATIONS, CallName, CallRecord},
    rights,
};
use crate::platform::{
    auth::Principal,
    error::{Error, Result},
    event::{Interest, hub::Scope},
    unit::{Lines, Unit, Verb},
};

/// What became of finalizing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, async_graphql::Enum)]
pub enum FinalizeOutcome {
    /// This request closed the transcript.
    Finalized,
    /// It was closed before, or by another request that waited too.
    AlreadyFinalized,
}

/// What one look came to.
enum Looked {
    Done(FinalizeOutcome, Box<CallRecord>),
    /// Operations run; look again after this time at the latest.
    Draining(Uuid, Duration),
}

struct Finalize {
    company_id: Uuid,
    actor: String,
    name: CallName,
    /// Longest wait for running operations from now on; `None`: as set before.
    drain: Option<time::Duration>,
}

impl Verb for Finalize {
    type Outcome = Looked;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Looked> {
        let locked = LockedCall::lock(unit, self.company_id, &self.name).await?;
        look(unit, locked.ok_or_else(|| Error::not_found("call"))?, Some(&self.actor), self.drain).await
    }

    fn lines(&self) -> Lines {
        self.name.lines(self.company_id, &self.actor)
    }
}

/// Closes the transcript of a locked call if nothing runs or the time has come.
async fn look(
    unit: &mut Unit<'_>,
    mut locked: LockedCall,
    actor: Option<&str>,
    drain: Option<time::Duration>,
) -> Result<Looked> {
    if locked.call.finalized_at.is_some() {
        return Ok(Looked::Done(FinalizeOutcome::AlreadyFinalized, Box::new(locked.call)));
    }
    if !locked.call.status.is_over() {
        return Err(Error::conflict("the call has not ended"));
    }
    let now = locked.now;
    let mut operations = Operations::read(unit, &mut locked, None).await?;
    let wanted = drain.map(|drain| now + drain);
    let until = locked.call.finalize_at.into_iter().chain(wanted).min().unwrap_or(now);
    if until > now && operations.is_draining() {
        locked.call.finalize_at = Some(until);
        operations.finish(unit).await?;
        let call = locked.write(unit, CALL_FINALIZE_REQUESTED, actor).await?;
        return Ok(Looked::Draining(call.id, (until - now).unsigned_abs()));
    }
    locked.call.abandoned = operations.abandon(unit, actor)?;
    locked.call.finalize_at = None;
    locked.call.finalized_at = Some(now);
    operations.finish(unit).await?;
    unit.changes().count("switchboard_calls_finalized_total", &[]);
    let call = locked.write(unit, CALL_FINALIZED, actor).await?;
    Ok(Looked::Done(FinalizeOutcome::Finalized, Box::new(call)))
}

/// Closes the transcript because its time has come; the timer's effect.
pub(super) async fn finalize_due(unit: &mut Unit<'_>, locked: LockedCall) -> Result<()> {
    if locked.call.finalize_at.is_some() {
        look(unit, locked, None, None).await?;
    }
    Ok(())
}

impl Calls {
    /// Closes a call's transcript; see the module.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `NOT_FOUND`; `CONFLICT` for a call that has not begun to end.
    #[tracing::instrument(name = "call.finalize", skip_all)]
    pub async fn finalize(
        &self,
        principal: &Principal,
        name: &CallName,
        drain: time::Duration,
    ) -> Result<(FinalizeOutcome, CallRecord)> {
        rights::require(principal)?;
        let company_id = principal.company_id;
        // The first look is also the first that waits in the call's line, behind what its socket has sent before.
        let mut watch = None;
        let mut drain = Some(drain);
        loop {
            let finalize = Finalize { company_id, actor: principal.subject.clone(), name: name.clone(), drain };
            let (id, wait) = match self.work.run(finalize).await? {
                Looked::Done(outcome, call) => return Ok((outcome, *call)),
                Looked::Draining(id, wait) => (id, wait),
            };
            drain = None;
            let Some(watch) = &mut watch else {
                let interest =
                    |subject_type| Interest { company_id, subject_type, scope: Scope::Subject(id.to_string()) };
                watch = Some(self.hub.watch(vec![interest(CALL), interest(CALL_OPERATIONS)]));
                // Once more: what happened between the first look and the watch has told nobody.
                continue;
            };
            tokio::select! {
                () = self.stopping.cancelled() => return Err(Error::unavailable("the server is stopping")),
                _ = watch.changed_before(Instant::now() + wait) => {}
            }
        }
    }
}
