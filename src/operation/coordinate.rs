//! `coordinateChatCall`: enters a chat's line, and waits there if an opposite call holds it.
//!
//! ```text
//! watch this attempt's events ─► arrive (batch) ─┬─ granted ─────────────────────────────────► reply
//!                                                └─ waiting: no connection, no lock
//!      event …Hold_Complete of this attempt ─► claim the grant (batch) ─────────────────────► reply
//!      time passed, caller gone, server stops ─► leave (batch)
//! ```
//! The write that releases the line grants it to the first waiter and appends the waiter's event, which wakes the
//! waiter's server (`wait.rs`); the server that released the line wakes a waiter of its own at once. Each waiter listens
//! for events of its own attempt only, so a release wakes one waiter, however many there are. A time-out that crosses the grant finds the grant and returns it.

use std::time::Duration;

use super::{
    Operations,
    line::{Decision, LineKey},
    rights,
    rules::{Arrival, CallType, Grant, Look, Request, Settled},
    verb::LineVerb,
};
use crate::platform::{auth::Principal, clock, error::Result};

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
}

impl LineVerb for Arrive {
    type Outcome = Arrival;

    fn key(&self) -> &LineKey {
        &self.key
    }

    fn request(&self) -> (&str, &str) {
        (&self.request.principal, &self.request.request_id)
    }

    fn caller(&self) -> Option<&str> {
        Some(&self.principal.subject)
    }

    fn decide(&self, decision: &mut Decision) -> Result<Arrival> {
        // The chat may have gone to another agent since the call came in.
        rights::require_sight(&self.principal, decision.parties.as_ref())?;
        let arrival = decision.draft.arrive(&self.request);
        let label = match &arrival {
            Ok(Arrival::Granted(_)) => "granted",
            Ok(Arrival::Waiting) => "waiting",
            Err(_) => "refused",
        };
        decision.count("switchboard_operation_arrivals_total", label);
        arrival
    }
}

/// Looks what became of a waiter.
pub(super) struct Settle {
    pub(super) key: LineKey,
    pub(super) request: Request,
    pub(super) look: Look,
}

impl LineVerb for Settle {
    type Outcome = Settled;

    fn key(&self) -> &LineKey {
        &self.key
    }

    fn request(&self) -> (&str, &str) {
        (&self.request.principal, &self.request.request_id)
    }

    fn caller(&self) -> Option<&str> {
        // A grant is claimed also while its caller's other calls hold all the caller's places.
        None
    }

    fn decide(&self, decision: &mut Decision) -> Result<Settled> {
        let settled = decision.draft.settle(&self.request, self.look);
        let label = match (&settled, self.look) {
            (Settled::Granted(_), Look::Claim | Look::TimeOut) => "granted",
            (Settled::Gone, Look::TimeOut) => "timed_out",
            (Settled::Gone, Look::Abandon) => "left",
            _ => return Ok(settled),
        };
        decision.count("switchboard_operation_waits_total", label);
        Ok(settled)
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
