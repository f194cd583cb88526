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
    error::{Error, Result},
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
    /// What is to be written at the end.
    changed: Vec<Operation>,
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
        let read = Self::read_all(unit, &mut [(locked, own)]).await?;
        read.into_iter().next().ok_or_else(|| Error::internal("a locked call is gone"))
    }

    /// As [`Self::read`], for different calls of one company, each with the principal and the request that it is read for.
    pub(super) async fn read_all(
        unit: &mut Unit<'_>,
        calls: &mut [(&mut LockedCall, Option<(&str, &str)>)],
    ) -> Result<Vec<Self>> {
        let Some(company_id) = calls.first().map(|(locked, _)| locked.call.company_id) else { return Ok(Vec::new()) };
        let asked: Vec<_> = calls.iter().map(|(locked, own)| (locked.call.id, *own)).collect();
        let mut lists = sql::operations(unit.connection(), company_id, &asked).await?;
        let ids: Vec<Uuid> = asked.iter().map(|(id, _)| *id).collect();
        let counters = sql::operation_counters(unit.connection(), company_id, &ids).await?;
        let mut read = Vec::with_capacity(calls.len());
        for (locked, _) in calls {
            let call_id = locked.call.id;
            let gone = || Error::internal("a locked call is gone");
            let &(version, last_token) = counters.get(&call_id).ok_or_else(gone)?;
            let list = lists.remove(&call_id).unwrap_or_default();
            let mut operations =
                Self { call_id, company_id, version, changed: Vec::new(), list, last_token, expire_at: None };
            operations.expire_at = operations.first_expiry();
            operations.expire(unit, locked)?;
            read.push(operations);
        }
        Ok(read)
    }

    /// Takes those away whose leases have ended.
    fn expire(&mut self, unit: &mut Unit<'_>, locked: &mut LockedCall) -> Result<()> {
        let is_dead = |operation: &&Operation| operation.expires_at <= locked.now;
        let dead: Vec<Operation> = self.running().filter(is_dead).cloned().collect();
        for operation in dead {
            match operation.kind {
                // With a name it was dialled; without one another dialer must.
                OperationKind::Dial => locked.call.dialing = locked.call.call_control_id.is_some(),
                OperationKind::HangUp => locked.call.hanging_up = false,
                _ => {}
            }
            let expired = Operation { state: OperationState::Expired, ..operation };
            self.put(unit, expired, OPERATION_EXPIRED, None)?;
        }
        Ok(())
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
    pub(super) fn abandon(&mut self, unit: &mut Unit<'_>, actor: Option<&str>) -> Result<i32> {
        let running: Vec<Operation> =
            self.running().filter(|operation| !operation.kind.is_of_dialers()).cloned().collect();
        let count = i32::try_from(running.len()).unwrap_or(i32::MAX);
        for operation in running {
            let abandoned = Operation { state: OperationState::Abandoned, ..operation };
            self.put(unit, abandoned, OPERATION_ABANDONED, actor)?;
        }
        Ok(count)
    }

    fn first_expiry(&self) -> Option<OffsetDateTime> {
        self.running().map(|operation| operation.expires_at).min()
    }

    /// Has an operation written whose lease was renewed, which is no event.
    pub(super) fn renew(&mut self, unit: &mut Unit<'_>, renewed: Operation) {
        unit.mark_changed();
        self.replace(renewed);
    }

    fn replace(&mut self, operation: Operation) {
        // In the order of their changes: one that has ended makes room for the next one of its kind.
        self.changed.retain(|known| known.id != operation.id);
        self.changed.push(operation.clone());
        self.list.retain(|known| known.id != operation.id);
        self.list.push(operation);
    }

    /// Has an operation written with its event.
    pub(super) fn put(
        &mut self,
        unit: &mut Unit<'_>,
        operation: Operation,
        event_type: &'static str,
        actor: Option<&str>,
    ) -> Result<()> {
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

    /// Writes what was changed, the subject's version and its timer.
    pub(super) async fn finish(self, unit: &mut Unit<'_>) -> Result<()> {
        Self::finish_all(unit, vec![self]).await
    }

    /// As [`Self::finish`], for different calls of one company.
    pub(super) async fn finish_all(unit: &mut Unit<'_>, all: Vec<Self>) -> Result<()> {
        let Some(company_id) = all.first().map(|operations| operations.company_id) else { return Ok(()) };
        for operations in &all {
            let subject = Subject::new(CALL_OPERATIONS, operations.call_id);
            let (before, now) = (operations.expire_at, operations.first_expiry());
            unit.changes().timer(company_id, &subject, EXPIRE, before, now);
        }
        let changed: Vec<&Operation> = all.iter().flat_map(|operations| &operations.changed).collect();
        if changed.is_empty() {
            return Ok(());
        }
        sql::put_operations(unit.connection(), company_id, &changed).await?;
        let versions: Vec<(Uuid, i32)> =
            all.iter().map(|operations| (operations.call_id, operations.version)).collect();
        sql::write_operation_versions(unit.connection(), company_id, &versions).await
    }
}
