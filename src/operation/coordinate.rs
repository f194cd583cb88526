//! `coordinateChatCall`: enters a chat's line, and waits there if an opposite call holds it.
//!
//! ```text
//! watch this attempt's events ─► arrive (transaction) ─┬─ granted ─────────────────────────────► reply
//!                                                      └─ waiting: no connection, no lock
//!      event …Hold_Complete of this attempt ─► claim the grant (transaction) ─────────────────► reply
//!      time passed, caller gone, server stops ─► leave (transaction)
//! ```
//! The transaction that releases the line grants it to the first waiter and appends the waiter's event, which wakes the
//! waiter's server (`wait.rs`). Each waiter listens for events of its own attempt only, so a release wakes one waiter,
//! however many there are. A time-out that crosses the grant finds the grant and returns it.

use std::time::Duration;

use super::{
    Operations,
    line::{LineKey, LockedLine},
    rights,
    rules::{Arrival, CallType, Grant, Look, Request, Settled},
    sql,
};
use crate::platform::{
    auth::Principal,
    clock,
    error::Result,
    unit::{Lines, Unit, Verb},
};

/// A call of `coordinateChatCall`. Its fields are within their bounds.
#[derive(Debug, Clone)]
pub struct NewRequest {
    /// What the caller wants to do.
    pub call_type: CallType,
    /// The caller's name for it.
    pub request_id: String,
    /// Whose line: a chat here, or an id from elsewhere.
    pub chat_id: String,
    /// Longest wait, in milliseconds; `None`: as long as the settings allow.
    pub wait_ms: Option<i32>,
    /// Length of the lease, in milliseconds; `None`: as the settings say.
    pub lease_ms: Option<i32>,
}

/// Enters the line.
pub(super) struct Arrive {
    pub(super) key: LineKey,
    pub(super) principal: Principal,
    pub(super) request: Request,
    pub(super) memory: Duration,
}

impl Verb for Arrive {
    /// The inner result is the request's; what was reaped is committed also where the request is refused.
    type Outcome = Result<Arrival>;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Result<Arrival>> {
        // Checked before the line is created, and again under the lock: the chat may go to another agent.
        if !self.principal.is_company() {
            let parties = sql::chat_parties(unit.connection(), &self.key).await?;
            rights::require_sight(&self.principal, parties.as_ref())?;
        }
        let caller = (self.request.principal.as_str(), self.request.request_id.as_str());
        let mut locked = LockedLine::lock(unit, &self.key, caller, false).await?;
        rights::require_sight(&self.principal, locked.parties.as_ref())?;
        let known = locked.known;
        let arrival = locked.draft.arrive(&self.request, known);
        locked.write(unit, Some(&self.request), self.memory).await?;
        unit.changes().count(
            "switchboard_operation_arrivals_total",
            &[(
                "outcome",
                match &arrival {
                    Ok(Arrival::Granted(_)) => "granted",
                    Ok(Arrival::Waiting) => "waiting",
                    Err(_) => "refused",
                },
            )],
        );
        Ok(arrival)
    }

    fn lines(&self) -> Lines {
        self.key.lines(&self.principal.subject)
    }
}

/// Looks what became of a waiter.
pub(super) struct Settle {
    pub(super) key: LineKey,
    pub(super) request: Request,
    pub(super) look: Look,
    pub(super) memory: Duration,
}

impl Verb for Settle {
    type Outcome = Settled;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Settled> {
        let caller = (self.request.principal.as_str(), self.request.request_id.as_str());
        let mut locked = LockedLine::lock(unit, &self.key, caller, false).await?;
        let waiter = if locked.draft.is_held_by(&self.request) {
            None
        } else {
            sql::find_waiter(unit.connection(), &self.key, caller.0, caller.1).await?
        };
        let settled = locked.draft.settle(&self.request, waiter, self.look);
        locked.write(unit, Some(&self.request), self.memory).await?;
        let label = match (&settled, self.look) {
            (Settled::Granted(_), Look::Claim | Look::TimeOut) => "granted",
            (Settled::Gone, Look::TimeOut) => "timed_out",
            (Settled::Gone, Look::Abandon) => "left",
            _ => return Ok(settled),
        };
        unit.changes().count("switchboard_operation_waits_total", &[("outcome", label)]);
        Ok(settled)
    }

    fn lines(&self) -> Lines {
        // Of no caller: a grant is claimed also while its caller's other calls hold all the caller's places.
        Lines { caller: None, ..self.key.lines(&self.request.actor) }
    }
}

impl Operations {
    /// Enters the line of a chat, waiting for an opposite call; see the module.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for a wait or a lease out of bounds; `FORBIDDEN` for participants; `NOT_FOUND` for a chat that the
    /// caller may not see; `OPERATION_IN_PROGRESS` while a call of the same type holds the line; `WAIT_TIMEOUT`;
    /// `CONFLICT` for a request that is finished, of another type, or taken over by a later call.
    #[tracing::instrument(name = "operation.coordinate", skip_all, fields(chat.id = %new.chat_id))]
    pub async fn coordinate(&self, principal: &Principal, new: NewRequest) -> Result<Grant> {
        rights::may_coordinate(principal)?;
        let wait_ms = self.settings.checked_wait(new.wait_ms)?;
        let lease_ms = self.settings.checked_lease(new.lease_ms, principal)?;
        let request = Request {
            call_type: new.call_type,
            principal: rights::name(principal),
            actor: principal.subject.clone(),
            request_id: new.request_id,
            attempt: clock::new_id(),
            lease_ms,
            longest_hold: rights::longest_hold(principal),
            wait_ms,
            server_id: self.server_id,
            waits_for_same_type: false,
        };
        self.enter(principal, LineKey::new(principal.company_id, &new.chat_id), request).await
    }

    /// A request of the server's own, for a mutation that waits for its turn.
    pub(super) fn own_request(
        &self,
        principal: &Principal,
        call_type: CallType,
        wait: Duration,
        lease_ms: i32,
    ) -> Request {
        let attempt = clock::new_id();
        Request {
            call_type,
            principal: rights::name(principal),
            actor: principal.subject.clone(),
            request_id: attempt.to_string(),
            attempt,
            lease_ms,
            longest_hold: None,
            wait_ms: i32::try_from(wait.as_millis()).unwrap_or(i32::MAX),
            server_id: self.server_id,
            waits_for_same_type: true,
        }
    }
}
