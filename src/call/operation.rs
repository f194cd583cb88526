//! Operations on a call: at most one of a kind runs, and none begins on a call that ends.
//!
//! An operation is a lease with a fencing token. Whoever gets BEGUN acts, nobody else; one that dies is replaced when its
//! lease ends. Operations that run when the call ends stay until they complete or expire: the answer of
//! `completeCallOperation` says that the call is not active any more, and `callStatus` has said it before.
//!
//! The subject `call_operations` has an event for each change; DIAL and `HANG_UP` change the call's own record too, by which
//! dialers see who is needed.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    locked::LockedCall,
    record::{CALL_OPERATIONS, EXPIRE, OPERATION_ABANDONED, OPERATION_EXPIRED},
    rules::work::OperationKind,
    sql,
};
use crate::platform::{
    error::Result,
    event::{NewEvent, Subject},
    lease,
    unit::Unit,
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

    /// The operation of this caller's request, whatever has become of it.
    pub(super) fn of_request(&self, principal: &str, request_id: &str) -> Option<&Operation> {
        self.list.iter().find(|operation| operation.principal == principal && operation.request_id == request_id)
    }

    /// The fencing token of an operation that begins now: greater than every earlier one of the call.
    pub(super) fn next_token(&self, now: OffsetDateTime) -> i64 {
        lease::next_token(self.last_token, now)
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

    /// Writes an operation whose lease was renewed, which is no event.
    pub(super) async fn renew(&mut self, unit: &mut Unit<'_>, renewed: Operation) -> Result<()> {
        sql::put_operation(unit.connection(), self.company_id, &renewed).await?;
        unit.mark_changed();
        self.replace(renewed);
        Ok(())
    }

    fn replace(&mut self, operation: Operation) {
        self.list.retain(|known| known.id != operation.id);
        self.list.push(operation);
    }

    /// Writes an operation with its event.
    pub(super) async fn put(
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
        let event = NewEvent::new(self.company_id, subject, self.version, event_type, actor, &payload, None)?;
        unit.changes().event(event.scoped_by(&[])?);
        self.replace(operation);
        Ok(())
    }

    /// Writes the subject's version and its timer.
    pub(super) async fn finish(self, unit: &mut Unit<'_>) -> Result<()> {
        let subject = Subject::new(CALL_OPERATIONS, self.call_id);
        unit.changes().timer(self.company_id, &subject, EXPIRE, self.expire_at, self.first_expiry());
        sql::write_operation_version(unit.connection(), self.company_id, self.call_id, self.version).await
    }
}
