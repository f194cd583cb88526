//! `beginCallOperation`: the right to dial, hang up, speak, stream or transfer, as a lease.

use time::Duration;
use uuid::Uuid;

use super::{
    Calls,
    dial::Dial,
    locked::{Found, LockedCall},
    operation::{Operation, OperationState, Operations},
    record::{CALL_OPERATION_CHANGED, CallName, CallRecord, OPERATION_BEGUN},
    rights,
    rules::work::{self, BeginOutcome, OperationKind},
};
use crate::platform::{
    auth::Principal,
    clock,
    error::{Error, Result},
    unit::{InLine, Lines, Unit, Verb},
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

/// One call of the mutation.
#[derive(Debug, Clone)]
pub(super) struct Begin {
    pub(super) company_id: Uuid,
    pub(super) principal: String,
    pub(super) actor: String,
    id: Uuid,
    pub(super) new: NewOperation,
}

/// What became of it, and the operation, if the caller is to act.
pub(super) type Begun = (BeginOutcome, Option<Operation>);

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

    /// The principal and the request that the operations of its call are read for.
    pub(super) fn own(&self) -> (&str, &str) {
        (&self.principal, &self.new.request_id)
    }

    /// True if nothing begins on the call any more, whatever runs.
    pub(super) fn is_too_late(&self, call: &CallRecord) -> bool {
        call.finalized_at.is_some() && self.new.kind != OperationKind::HangUp
    }

    /// Decides over a locked call and its operations. Nothing is written yet.
    pub(super) fn decide(
        &self,
        unit: &mut Unit<'_>,
        locked: &mut LockedCall,
        operations: &mut Operations,
    ) -> Result<Begun> {
        let begun = self.begin(unit, locked, operations)?;
        let label = match begun.0 {
            BeginOutcome::Begun => "begun",
            BeginOutcome::CallEnded => "call_ended",
            BeginOutcome::AlreadyRunning => "already_running",
        };
        unit.changes().count("switchboard_call_operations_total", &[("outcome", label)]);
        Ok(begun)
    }

    fn begin(&self, unit: &mut Unit<'_>, locked: &mut LockedCall, operations: &mut Operations) -> Result<Begun> {
        let NewOperation { kind, request_id, lease, .. } = &self.new;
        if let Some(own) = operations.of_request(&self.principal, request_id) {
            let Some(renewed) = self.again(own, locked)? else { return Ok((BeginOutcome::CallEnded, None)) };
            operations.renew(unit, renewed.clone());
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
        operations.put(unit, operation.clone(), OPERATION_BEGUN, Some(&self.actor))?;
        match kind {
            OperationKind::Dial => locked.call.dialing = true,
            OperationKind::HangUp => locked.call.hanging_up = true,
            _ => {}
        }
        Ok((outcome, Some(operation)))
    }
}

impl Verb for Begin {
    type Outcome = Begun;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Begun> {
        let found = LockedCall::find(unit, self.company_id, &self.new.name).await?;
        let Found::Locked(mut locked) = found.ok_or_else(|| Error::not_found("call"))? else {
            return Ok((BeginOutcome::CallEnded, None));
        };
        if self.is_too_late(&locked.call) {
            return Ok((BeginOutcome::CallEnded, None));
        }
        let mut operations = Operations::read(unit, &mut locked, Some(self.own())).await?;
        let begun = self.decide(unit, &mut locked, &mut operations)?;
        operations.finish(unit).await?;
        locked.write(unit, CALL_OPERATION_CHANGED, Some(&self.actor)).await?;
        Ok(begun)
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
        let dial = Begin { company_id, principal: rights::name(principal), actor, id: clock::new_id(), new };
        if dial.new.kind != OperationKind::Dial {
            return self.work.run(dial).await;
        }
        // With the company's other dialers. Verbs that name a call alike wait for each other.
        let outcome = async {
            match self.dials.run(Dial(dial.clone())).await? {
                Some(outcome) => Ok(outcome),
                None => self.work.run(InLine(dial.clone())).await,
            }
        };
        self.work.in_line(dial.lines(), outcome).await
    }
}
