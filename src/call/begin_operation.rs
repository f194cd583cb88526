//! `beginCallOperation`: the right to dial, hang up, speak, stream or transfer, as a lease.

use time::Duration;
use uuid::Uuid;

use super::{
    Calls,
    locked::{Found, LockedCall},
    operation::{Operation, OperationState, Operations},
    record::{CALL_OPERATION_CHANGED, CallName, OPERATION_BEGUN},
    rights,
    rules::work::{self, BeginOutcome, OperationKind},
};
use crate::platform::{
    auth::Principal,
    clock,
    error::{Error, Result},
    unit::{Lines, Unit, Verb},
};

/// A call of `beginCallOperation`. Its fields are within their bounds.
#[derive(Debug, Clone)]
pub struct NewOperation {
    /// The call, by our id or by the provider's name.
    pub name: CallName,
    /// What is done.
    pub kind: OperationKind,
    /// The caller's name for it.
    pub request_id: String,
    /// Length of the lease.
    pub lease: Duration,
}

struct Begin {
    company_id: Uuid,
    principal: String,
    actor: String,
    id: Uuid,
    new: NewOperation,
}

impl Begin {
    /// The caller asks again for what it has begun.
    fn again(&self, own: &Operation, locked: &LockedCall) -> Result<Option<Operation>> {
        // "Already over" is an outcome, also for a request that is finished.
        let may_go_on = match self.new.kind {
            OperationKind::HangUp => locked.call.has_hang_up(),
            _ => !locked.call.status.is_over(),
        };
        if !may_go_on {
            return Ok(None);
        }
        if own.kind != self.new.kind || own.state != OperationState::Running {
            return Err(Error::conflict("this requestId is finished, or of another kind"));
        }
        let expires_at = own.expires_at.max(locked.now + self.new.lease);
        Ok(Some(Operation { expires_at, ..own.clone() }))
    }

    async fn begin(
        &self,
        unit: &mut Unit<'_>,
        locked: &mut LockedCall,
        operations: &mut Operations,
    ) -> Result<(BeginOutcome, Option<Operation>)> {
        let NewOperation { kind, request_id, lease, .. } = &self.new;
        if let Some(own) = operations.of_request(&self.principal, request_id) {
            let Some(renewed) = self.again(own, locked)? else { return Ok((BeginOutcome::CallEnded, None)) };
            operations.renew(unit, renewed.clone()).await?;
            return Ok((BeginOutcome::Begun, Some(renewed)));
        }
        let is_running = operations.running().any(|operation| operation.kind == *kind);
        let outcome = work::begin(&locked.call, *kind, is_running)?;
        if outcome != BeginOutcome::Begun {
            return Ok((outcome, None));
        }
        let operation = Operation {
            id: self.id,
            call_id: locked.call.id,
            kind: *kind,
            principal: self.principal.clone(),
            request_id: request_id.clone(),
            token: operations.next_token(locked.now),
            generation: locked.call.generation,
            state: OperationState::Running,
            expires_at: locked.now + *lease,
            began_at: locked.now,
        };
        operations.put(unit, operation.clone(), OPERATION_BEGUN, Some(&self.actor)).await?;
        match kind {
            OperationKind::Dial => locked.call.dialing = true,
            OperationKind::HangUp => locked.call.hanging_up = true,
            _ => {}
        }
        Ok((outcome, Some(operation)))
    }
}

impl Verb for Begin {
    type Outcome = (BeginOutcome, Option<Operation>);

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Self::Outcome> {
        let found = LockedCall::find(unit, self.company_id, &self.new.name).await?;
        let Found::Locked(mut locked) = found.ok_or_else(|| Error::not_found("call"))? else {
            return Ok((BeginOutcome::CallEnded, None));
        };
        if locked.call.finalized_at.is_some() && self.new.kind != OperationKind::HangUp {
            return Ok((BeginOutcome::CallEnded, None));
        }
        let own = (self.principal.as_str(), self.new.request_id.as_str());
        let mut operations = Operations::read(unit, &mut locked, Some(own)).await?;
        let (outcome, operation) = self.begin(unit, &mut locked, &mut operations).await?;
        operations.finish(unit).await?;
        locked.write(unit, CALL_OPERATION_CHANGED, Some(&self.actor)).await?;
        let label = match outcome {
            BeginOutcome::Begun => "begun",
            BeginOutcome::CallEnded => "call_ended",
            BeginOutcome::AlreadyRunning => "already_running",
        };
        unit.changes().count("switchboard_call_operations_total", &[("outcome", label)]);
        Ok((outcome, operation))
    }

    fn lines(&self) -> Lines {
        self.new.name.lines(self.company_id, &self.actor)
    }
}

impl Calls {
    /// Begins an operation on a call, if none of its kind runs and the call is not ending.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `NOT_FOUND`; `CONFLICT` for a call that is not that far, and for a
    /// request that is finished.
    #[tracing::instrument(name = "call.begin_operation", skip_all)]
    pub async fn begin_operation(
        &self,
        principal: &Principal,
        new: NewOperation,
    ) -> Result<(BeginOutcome, Option<Operation>)> {
        rights::require(principal)?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        self.work.run(Begin { company_id, principal: rights::name(principal), actor, id: clock::new_id(), new }).await
    }
}
