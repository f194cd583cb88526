//! `completeCallOperation`: gives the right back, and says whether the call is still active.

use uuid::Uuid;

use super::{
    Calls,
    locked::LockedCall,
    operation::{Operation, OperationState, Operations},
    record::{CALL_OPERATION_CHANGED, OPERATION_COMPLETED},
    rights,
    rules::{self, CallStatus, EndReason, News, work::OperationKind},
    sql,
};
use crate::{
    call_queue::slots,
    platform::{
        auth::Principal,
        error::Result,
        unit::{Lines, Unit, Verb},
    },
};

/// A call of `completeCallOperation`.
#[derive(Debug, Clone)]
pub struct CompletedOperation {
    /// The operation, by the id that its begin was given.
    pub id: Uuid,
    /// Its fencing token; `None` for one that is none of ours.
    pub token: Option<i64>,
    /// False if what was to be done has failed.
    pub succeeded: bool,
}

/// What became of completing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completed {
    /// False if nothing of that token was running.
    pub completed: bool,
    /// True if work may still begin on the call.
    pub call_active: bool,
}

struct Complete {
    company_id: Uuid,
    principal: String,
    actor: String,
    done: CompletedOperation,
    /// How long after a completed hang-up the end must be reported.
    hang_up_time: std::time::Duration,
}

impl Complete {
    fn complete(&self, unit: &mut Unit<'_>, locked: &mut LockedCall, operations: &mut Operations) -> Result<bool> {
        let own = operations
            .running()
            .find(|it| it.id == self.done.id && Some(it.token) == self.done.token && it.principal == self.principal);
        let Some(own) = own.cloned() else { return Ok(false) };
        let kind = own.kind;
        let completed = Operation { state: OperationState::Completed, ..own };
        operations.put(unit, completed, OPERATION_COMPLETED, Some(&self.actor))?;
        let call = &mut locked.call;
        match kind {
            OperationKind::Dial => {
                call.dialed = true;
                if !self.done.succeeded {
                    let (status, end_reason) = (CallStatus::Ended, Some(EndReason::Failed));
                    rules::merge(call, &News { status, end_reason, occurred_at: locked.now });
                }
            }
            OperationKind::HangUp => {
                call.hanging_up = false;
                call.hung_up_until = self.done.succeeded.then_some(locked.now + self.hang_up_time);
            }
            _ => {}
        }
        Ok(true)
    }
}

impl Verb for Complete {
    type Outcome = Completed;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Completed> {
        let nothing = Completed { completed: false, call_active: false };
        if !self.done.succeeded {
            // A DIAL that failed ends its call.
            slots::lock(unit, self.company_id).await?;
        }
        let call_id = sql::call_of_operation(unit.connection(), self.company_id, self.done.id).await?;
        let Some(call_id) = call_id else { return Ok(nothing) };
        let Some(mut locked) = LockedCall::lock_id(unit, self.company_id, call_id).await? else { return Ok(nothing) };
        let mut operations = Operations::read(unit, &mut locked, None).await?;
        let completed = self.complete(unit, &mut locked, &mut operations)?;
        operations.finish(unit).await?;
        let call = locked.write(unit, CALL_OPERATION_CHANGED, Some(&self.actor)).await?;
        let label = if completed { "completed" } else { "not_running" };
        unit.changes().count("switchboard_call_operations_total", &[("outcome", label)]);
        Ok(Completed { completed, call_active: rules::inactive(Some(&call)).is_none() })
    }

    fn lines(&self) -> Lines {
        Lines { caller: Some((self.company_id, self.actor.clone())), ..Lines::default() }
    }
}

impl Calls {
    /// Completes an operation. A stale token, or another caller's, completes nothing.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    #[tracing::instrument(name = "call.complete_operation", skip_all)]
    pub async fn complete_operation(&self, principal: &Principal, done: CompletedOperation) -> Result<Completed> {
        rights::require(principal)?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        let (principal, hang_up_time) = (rights::name(principal), self.settings.hang_up_time);
        self.work.run(Complete { company_id, principal, actor, done, hang_up_time }).await
    }
}
