//! The rules of a line, as pure functions over what was read of it.
//!
//! ```text
//!                 free                        opposite holder, waits               leaves, out of time
//! arrive ─────────────────────► holder  ◄── first live waiter ── waiter ───────────────────────────────► gone
//!    │ same type as the holder    │                  ▲
//!    ▼                            │ completes, expires, was granted it and never claimed it
//!  refused                        └──────────────────┘   else the line is free
//! ```
//! A line that nobody holds has no waiter: whoever releases it hands it over in the same transaction.

mod request;

use std::collections::VecDeque;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use self::request::waiting_reason;
pub use self::request::{
    Arrival, CallType, Finished, Grant, HoldEvent, Holder, Known, Look, Phase, Release, Request, RequestKey, Requests,
    Settled, TakenOver, Waiter,
};
use crate::platform::{
    error::{Code, Error, Result},
    lease,
};

/// How long a grant waits for the waiter that it was given to.
pub const CLAIMED_WITHIN: Duration = Duration::seconds(5);

/// The state of a line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// Of its newest event.
    pub version: i32,
    /// The newest waiter's number.
    pub last_place: i64,
    /// The number that was granted last.
    pub last_granted: i64,
    /// The newest token: the holder's, if there is one.
    pub last_token: i64,
    /// How many wait.
    pub waiting: i32,
    /// The last `startChat` failed.
    pub start_failed: bool,
    /// The last `endChat` failed.
    pub end_failed: bool,
    /// Who holds it.
    pub holder: Option<Holder>,
}

impl Line {
    /// True if the holder is to lose the line, so that the next waiters must be known.
    pub fn is_to_reap(&self, now: OffsetDateTime) -> bool {
        self.holder.as_ref().is_some_and(|holder| holder.is_dead(now))
    }

    /// When the line must be looked at although nobody calls: somebody waits for a holder that may have died.
    pub fn reap_at(&self) -> Option<OffsetDateTime> {
        let holder = self.holder.as_ref().filter(|_| self.waiting > 0)?;
        Some(holder.claim_by.map_or(holder.expires_at, |claim_by| claim_by.min(holder.expires_at)))
    }
}

/// A line while it is decided, and what is to be written. Calls of one batch decide one after the other over one draft.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The database's time, as it was read together with the line.
    pub now: OffsetDateTime,
    /// How long finished requests are remembered.
    pub memory: std::time::Duration,
    /// As decided so far.
    pub line: Line,
    /// The next waiters; read only if the line may be handed over, and then as many living ones as may leave it.
    pub next: VecDeque<Waiter>,
    /// What is known of requests, as decided so far.
    pub requests: Requests,
    /// Events, in order.
    pub events: Vec<HoldEvent>,
    /// Attempts whose places went to later ones: their calls are told.
    pub taken_over: Vec<TakenOver>,
    /// Somebody was granted the line.
    pub granted: bool,
}

fn milliseconds(from: OffsetDateTime, to: OffsetDateTime) -> i32 {
    i32::try_from((to - from).whole_milliseconds().max(0)).unwrap_or(i32::MAX)
}

impl Draft {
    /// A draft of `line` as it was read, from which a dead holder is taken: every step begins with this.
    pub fn new(
        now: OffsetDateTime,
        memory: std::time::Duration,
        line: Line,
        requests: Requests,
        next: VecDeque<Waiter>,
    ) -> Self {
        let (events, taken_over) = (Vec::new(), Vec::new());
        let mut draft = Self { now, memory, line, next, requests, events, taken_over, granted: false };
        if draft.line.is_to_reap(now) {
            draft.release(false, None);
        }
        draft
    }

    /// Frees the line and hands it over. `completed_by` is the call that releases it; `None`: the holder is dead.
    fn release(&mut self, succeeded: bool, completed_by: Option<Uuid>) {
        let Some(Holder { call_type, principal, request_id, .. }) = self.line.holder.take() else { return };
        match call_type {
            CallType::StartChat => self.line.start_failed = !succeeded,
            CallType::EndChat => self.line.end_failed = !succeeded,
        }
        let finished = Finished { call_type, completed_by, forget_at: self.now + self.memory };
        self.requests.set((principal, request_id), Known::Finished(finished));
        self.hand_over();
    }

    fn hand_over(&mut self) {
        while let Some(waiter) = self.next.pop_front() {
            self.line.last_granted = waiter.place;
            self.leave(&waiter);
            if waiter.wait_until <= self.now || !waiter.is_live {
                self.fail(waiter);
                continue;
            }
            let elapsed_ms = milliseconds(waiter.began_at, self.now);
            let has_failed = match waiter.opposite {
                CallType::StartChat => self.line.start_failed,
                CallType::EndChat => self.line.end_failed,
            };
            let error = if has_failed { " (with error)" } else { "" };
            let reason =
                format!("{} completed{error}, proceeding with {}", waiter.opposite.name(), waiter.call_type.name());
            self.grant(Holder {
                call_type: waiter.call_type,
                principal: waiter.principal.clone(),
                request_id: waiter.request_id.clone(),
                attempt: waiter.attempt,
                granted_at: self.now,
                expires_at: self.now + Duration::milliseconds(waiter.lease_ms.into()),
                claim_by: Some(self.now + CLAIMED_WITHIN),
                held_for_ms: elapsed_ms,
            });
            self.tell(Phase::Complete, waiter, reason, elapsed_ms);
            return;
        }
    }

    /// Takes a waiter out of the line.
    fn leave(&mut self, waiter: &Waiter) {
        self.line.waiting -= 1;
        self.requests.set(waiter.key(), Known::New);
    }

    fn fail(&mut self, waiter: Waiter) {
        let reason = waiting_reason(waiter.opposite);
        let elapsed_ms = milliseconds(waiter.began_at, self.now);
        self.tell(Phase::Failed, waiter, reason, elapsed_ms);
    }

    fn tell(&mut self, phase: Phase, waiter: Waiter, reason: String, elapsed_ms: i32) {
        self.line.version += 1;
        self.events.push(HoldEvent { version: self.line.version, phase, waiter, reason, elapsed_ms });
    }

    fn grant(&mut self, holder: Holder) {
        self.line.last_token = lease::next_token(self.line.last_token, self.now);
        self.line.holder = Some(holder);
        self.granted = true;
    }

    /// The grant of the present holder, renewed and claimed by `request`.
    fn granted_again(&mut self, request: &Request) -> Option<Grant> {
        let token = self.line.last_token;
        let holder = self.line.holder.as_mut().filter(|holder| holder.is_request(request))?;
        let longest = request.longest_hold.map(|longest| holder.granted_at + longest);
        let wanted = self.now + Duration::milliseconds(request.lease_ms.into());
        holder.expires_at = holder.expires_at.max(longest.map_or(wanted, |longest| wanted.min(longest)));
        holder.attempt = request.attempt;
        holder.claim_by = None;
        Some(as_grant(holder, token))
    }

    /// A request arrives. One that is refused has changed nothing.
    ///
    /// # Errors
    /// `CONFLICT` for a request of another type or one that is finished; `OPERATION_IN_PROGRESS` behind a holder of its
    /// own type; `WAIT_TIMEOUT` if it would have to wait and may not.
    pub fn arrive(&mut self, request: &Request) -> Result<Arrival> {
        if let Some(holder) = self.line.holder.as_ref().filter(|holder| holder.is_request(request)) {
            if holder.call_type != request.call_type {
                return Err(another_type(holder.call_type));
            }
            return Ok(self.granted_again(request).map_or(Arrival::Waiting, Arrival::Granted));
        }
        match self.requests.get(&request.key()) {
            Known::Finished(_) => return Err(finished()),
            Known::Waiting(waiter) if waiter.call_type != request.call_type => {
                return Err(another_type(waiter.call_type));
            }
            Known::Waiting(waiter) => {
                self.take_over(request, waiter);
                return Ok(Arrival::Waiting);
            }
            Known::New => {}
        }
        let Some(holder) = &self.line.holder else {
            let holder = Holder {
                call_type: request.call_type,
                principal: request.principal.clone(),
                request_id: request.request_id.clone(),
                attempt: request.attempt,
                granted_at: self.now,
                expires_at: self.now + Duration::milliseconds(request.lease_ms.into()),
                claim_by: None,
                held_for_ms: 0,
            };
            self.grant(holder.clone());
            return Ok(Arrival::Granted(as_grant(&holder, self.line.last_token)));
        };
        if holder.call_type == request.call_type && !request.waits_for_same_type {
            return Err(Error::new(
                Code::OperationInProgress,
                format!("{} is already in progress", holder.call_type.name()),
            ));
        }
        if request.wait_ms == 0 {
            return Err(wait_timeout());
        }
        self.enter(request, holder.call_type);
        Ok(Arrival::Waiting)
    }

    fn enter(&mut self, request: &Request, opposite: CallType) {
        self.line.last_place += 1;
        self.line.waiting += 1;
        self.line.version += 1;
        let waiter = Waiter {
            principal: request.principal.clone(),
            request_id: request.request_id.clone(),
            call_type: request.call_type,
            place: self.line.last_place,
            attempt: request.attempt,
            actor: request.actor.clone(),
            opposite,
            lease_ms: request.lease_ms,
            began_at: self.now,
            began_version: self.line.version,
            wait_until: self.now + Duration::milliseconds(request.wait_ms.into()),
            server_id: request.server_id,
            is_live: true,
        };
        self.events.push(HoldEvent::started(waiter.clone()));
        self.next.push_back(waiter.clone());
        self.requests.set(waiter.key(), Known::Waiting(waiter));
    }

    /// Gives the place of `older` to a later call of the same request.
    fn take_over(&mut self, request: &Request, older: Waiter) {
        // The same call runs again: the result of its first run was lost.
        if older.attempt == request.attempt {
            return;
        }
        self.taken_over.push(TakenOver {
            attempt: older.attempt,
            request_id: request.request_id.clone(),
            actor: request.actor.clone(),
        });
        let waiter = Waiter {
            attempt: request.attempt,
            lease_ms: request.lease_ms,
            wait_until: self.now + Duration::milliseconds(request.wait_ms.into()),
            server_id: request.server_id,
            is_live: true,
            ..older
        };
        if let Some(next) = self.next.iter_mut().find(|next| next.place == waiter.place) {
            next.clone_from(&waiter);
        }
        self.requests.set(waiter.key(), Known::Waiting(waiter));
    }

    /// A call of `request` that waited looks what became of it.
    pub fn settle(&mut self, request: &Request, look: Look) -> Settled {
        let token = self.line.last_token;
        if let Some(holder) = self.line.holder.as_mut().filter(|holder| holder.is_request(request)) {
            if holder.attempt != request.attempt {
                return Settled::TakenOver;
            }
            // Nobody has heard of a grant whose caller is gone: it is kept for a repeat.
            holder.claim_by = match look {
                Look::Abandon => Some(holder.claim_by.unwrap_or(self.now + CLAIMED_WITHIN)),
                Look::Claim | Look::TimeOut => None,
            };
            return Settled::Granted(as_grant(holder, token));
        }
        let Known::Waiting(waiter) = self.requests.get(&request.key()) else { return Settled::Gone };
        if waiter.attempt != request.attempt {
            return Settled::TakenOver;
        }
        if look == Look::Claim {
            return Settled::Waiting;
        }
        self.next.retain(|next| next.place != waiter.place);
        self.leave(&waiter);
        self.fail(waiter);
        Settled::Gone
    }

    /// The holder completes. False if nothing of that type, request and token is held.
    pub fn complete(&mut self, release: &Release) -> bool {
        let is_held = self.line.last_token == release.token
            && self.line.holder.as_ref().is_some_and(|holder| {
                holder.principal == release.principal
                    && holder.request_id == release.request_id
                    && holder.call_type == release.call_type
            });
        if is_held {
            self.release(release.succeeded, Some(release.call));
            return true;
        }
        // The same call runs again: the result of its first run was lost.
        let key = (release.principal.clone(), release.request_id.clone());
        matches!(self.requests.get(&key), Known::Finished(finished) if finished.completed_by == Some(release.call))
    }
}

fn as_grant(holder: &Holder, token: i64) -> Grant {
    Grant {
        call_type: holder.call_type,
        request_id: holder.request_id.clone(),
        token,
        expires_at: holder.expires_at,
        held_for_ms: holder.held_for_ms,
    }
}

/// The error of a request that waited in vain.
pub fn wait_timeout() -> Error {
    Error::new(Code::WaitTimeout, "the chat was not free in time")
}

/// The error of an older call whose request was repeated.
pub fn taken_over() -> Error {
    Error::conflict("a later call with this requestId took its place over")
}

fn finished() -> Error {
    Error::conflict("this requestId is finished")
}

fn another_type(call_type: CallType) -> Error {
    Error::conflict(format!("this requestId is of a {}", call_type.name()))
}

#[cfg(test)]
mod tests;
