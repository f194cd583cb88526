//! `beginCallOperation` and `completeCallOperation`: at most one of a kind runs on a call, and none begins on one that
//! ends.
//!
//! An operation is a lease with a fencing token. Whoever gets BEGUN acts, nobody else; one that dies is replaced when its
//! lease ends. Operations that run when the call ends stay until they complete or expire: the answer of
//! `completeCallOperation` says that the call is not active any more, and `callStatus` has said it before.
//!
//! The subject `call_operations` has an event for each change; DIAL and `HANG_UP` change the call's own record too, by which
//! dialers see who is needed.

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    Calls,
    locked::{Found, LockedCall},
    record::{
        CALL_OPERATION_CHANGED, CALL_OPERATIONS, CallName, EXPIRE, OPERATION_ABANDONED, OPERATION_BEGUN,
        OPERATION_COMPLETED, OPERATION_EXPIRED,
    },
    rights,
    rules::{
        self, CallStatus, EndReason, News,
        work::{self, BeginOutcome, OperationKind},
    },
    sql,
};
use crate::{
    call_queue::slots,
    platform::{
        auth::Principal,
        clock,
        error::{Error, Result},
        event::{NewEvent, Subject},
        unit::{Lines, Unit, Verb},
    },
};

/// What has become of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperationState {
    /// It runs, and its lease has not ended.
    Running,
    /// Its owner has completed it.
    Completed,
    /// Its lease has ended.
    Expired,
    /// The call was finalized before it completed.
    Abandoned,
}

impl OperationState {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Expired => "EXPIRED",
            Self::Abandoned => "ABANDONED",
        }
    }
}

/// An operation on a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Unique in the company.
    pub id: Uuid,
    /// Our id of the call that it belongs to.
    pub call_id: Uuid,
    /// What is done.
    pub kind: OperationKind,
    /// Role and `sub` of its owner.
    pub principal: String,
    /// The owner's name for it.
    pub request_id: String,
    /// Its fencing token.
    pub token: i64,
    /// The call's generation when it began.
    pub generation: i32,
    /// What has become of it.
    pub state: OperationState,
    /// End of its lease.
    pub expires_at: OffsetDateTime,
    /// When it began.
    pub began_at: OffsetDateTime,
}

/// The payload of the events of a call's operations. It has no tokens.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OperationEvent<'a> {
    company_id: Uuid,
    call_id: Uuid,
    version: i32,
    operation_id: Uuid,
    kind: OperationKind,
    request_id: &'a str,
    state: OperationState,
}

/// The operations of a locked call.
pub(super) struct Operations {
    call_id: Uuid,
    company_id: Uuid,
    /// Version of the subject.
    version: i32,
    /// Those that run, and the caller's own.
    list: Vec<Operation>,
    /// The greatest token so far.
    last_token: i64,
    /// When the first lease ends.
    expire_at: Option<OffsetDateTime>,
}

impl Operations {
    /// Reads the operations of a locked call, and takes those away whose leases have ended.
    pub(super) async fn read(unit: &mut Unit<'_>, locked: &mut LockedCall, own: Option<(&str, &str)>) -> Result<Self> {
        let (company_id, call_id) = (locked.call.company_id, locked.call.id);
        let list = sql::operations(unit.connection(), company_id, call_id, own).await?;
        let (version, last_token) = sql::operation_counters(unit.connection(), company_id, call_id).await?;
        let mut operations = Self { call_id, company_id, version, list, last_token, expire_at: None };
        operations.expire_at = operations.first_expiry();
        let dead: Vec<Operation> =
            operations.running().filter(|operation| operation.expires_at <= locked.now).cloned().collect();
        for operation in dead {
            match operation.kind {
                // With a name it was dialled; without one another dialer must.
                OperationKind::Dial => locked.call.dialing = locked.call.call_control_id.is_some(),
                OperationKind::HangUp => locked.call.hanging_up = false,
                _ => {}
            }
            let expired = Operation { state: OperationState::Expired, ..operation };
            operations.put(unit, expired, OPERATION_EXPIRED, None).await?;
        }
        Ok(operations)
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Operation> {
        self.list.iter().filter(|operation| operation.state == OperationState::Running)
    }

    /// True if something runs that finalizing waits for.
    pub(super) fn is_draining(&self) -> bool {
        self.running().any(|operation| !operation.kind.is_of_dialers())
    }

    /// Takes away what still runs when the call is finalized; returns how many. A hang-up goes on.
    pub(super) async fn abandon(&mut self, unit: &mut Unit<'_>, actor: Option<&str>) -> Result<i32> {
        let running: Vec<Operation> =
            self.running().filter(|operation| !operation.kind.is_of_dialers()).cloned().collect();
        let count = i32::try_from(running.len()).unwrap_or(i32::MAX);
        for operation in running {
            let abandoned = Operation { state: OperationState::Abandoned, ..operation };
            self.put(unit, abandoned, OPERATION_ABANDONED, actor).await?;
        }
        Ok(count)
    }

    fn first_expiry(&self) -> Option<OffsetDateTime> {
        self.running().map(|operation| operation.expires_at).min()
    }

    /// Writes an operation with its event.
    async fn put(
        &mut self,
        unit: &mut Unit<'_>,
        operation: Operation,
        event_type: &'static str,
        actor: Option<&str>,
    ) -> Result<()> {
        sql::put_operation(unit.connection(), self.company_id, &operation).await?;
        self.version += 1;
        let payload = OperationEvent {
            company_id: self.company_id,
            call_id: self.call_id,
            version: self.version,
            operation_id: operation.id,
            kind: operation.kind,
            request_id: &operation.request_id,
            state: operation.state,
        };
        let subject = Subject::new(CALL_OPERATIONS, self.call_id);
        let event =
            NewEvent::new(self.company_id, subject, self.version, event_type, actor, &payload, None)?.scoped_by(&[])?;
        unit.changes().event(event.scoped_by(&[])?);
        self.list.retain(|known| known.id != operation.id);
        self.list.push(operation);
        Ok(())
    }

    /// Writes the subject's version and its timer.
    pub(super) async fn finish(self, unit: &mut Unit<'_>) -> Result<()> {
        let subject = Subject::new(CALL_OPERATIONS, self.call_id);
        unit.changes().timer(self.company_id, &subject, EXPIRE, self.expire_at, self.first_expiry());
        sql::write_operation_version(unit.connection(), self.company_id, self.call_id, self.version).await
    }
}

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
        let own = operations.list.iter().find(|it| it.principal == self.principal && it.request_id == *request_id);
        if let Some(own) = own.cloned() {
            let Some(renewed) = self.again(&own, locked)? else { return Ok((BeginOutcome::CallEnded, None)) };
            // A renewal is no event.
            sql::put_operation(unit.connection(), self.company_id, &renewed).await?;
            operations.list.retain(|known| known.id != renewed.id);
            operations.list.push(renewed.clone());
            unit.mark_changed();
            return Ok((BeginOutcome::Begun, Some(renewed)));
        }
        let is_running = operations.running().any(|operation| operation.kind == *kind);
        let outcome = work::begin(&locked.call, *kind, is_running)?;
        if outcome != BeginOutcome::Begun {
            return Ok((outcome, None));
        }
        let microseconds = i64::try_from(locked.now.unix_timestamp_nanos() / 1_000).unwrap_or_default();
        let operation = Operation {
            id: self.id,
            call_id: locked.call.id,
            kind: *kind,
            principal: self.principal.clone(),
            request_id: request_id.clone(),
            token: microseconds.max(operations.last_token + 1),
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
    async fn complete(
        &self,
        unit: &mut Unit<'_>,
        locked: &mut LockedCall,
        operations: &mut Operations,
    ) -> Result<bool> {
        let own = operations
            .running()
            .find(|it| it.id == self.done.id && Some(it.token) == self.done.token && it.principal == self.principal);
        let Some(own) = own.cloned() else { return Ok(false) };
        let kind = own.kind;
        let completed = Operation { state: OperationState::Completed, ..own };
        operations.put(unit, completed, OPERATION_COMPLETED, Some(&self.actor)).await?;
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
        let completed = self.complete(unit, &mut locked, &mut operations).await?;
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
