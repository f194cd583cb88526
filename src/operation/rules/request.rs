//! Requests at a line: as they arrive, wait, hold it and are finished, and what their callers get.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

/// The two calls on a chat that oppose each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, async_graphql::Enum)]
#[graphql(name = "ChatCallType")]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CallType {
    /// Starting the chat.
    StartChat,
    /// Ending the chat.
    EndChat,
}

impl CallType {
    /// As in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartChat => "START_CHAT",
            Self::EndChat => "END_CHAT",
        }
    }

    /// As in events and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StartChat => "StartChat",
            Self::EndChat => "EndChat",
        }
    }
}

/// Who holds a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// What it does.
    pub call_type: CallType,
    /// Role and `sub` of the caller.
    pub principal: String,
    /// The caller's name for its request.
    pub request_id: String,
    /// The call that is answered.
    pub attempt: Uuid,
    /// When it was granted the line.
    pub granted_at: OffsetDateTime,
    /// End of its lease.
    pub expires_at: OffsetDateTime,
    /// Until then a granted waiter must have claimed its grant.
    pub claim_by: Option<OffsetDateTime>,
    /// How long it waited.
    pub held_for_ms: i32,
}

impl Holder {
    /// True if the line is to be taken from it.
    pub(super) fn is_dead(&self, now: OffsetDateTime) -> bool {
        self.expires_at <= now || self.claim_by.is_some_and(|claim_by| claim_by <= now)
    }

    pub(super) fn is_request(&self, request: &Request) -> bool {
        self.principal == request.principal && self.request_id == request.request_id
    }
}

/// A request that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiter {
    /// Role and `sub` of the caller.
    pub principal: String,
    /// The caller's name for its request.
    pub request_id: String,
    /// What it wants to do.
    pub call_type: CallType,
    /// Its number in the line; smaller ones go first.
    pub place: i64,
    /// The call that waits.
    pub attempt: Uuid,
    /// `sub` of the caller.
    pub actor: String,
    /// The holder's type when it arrived.
    pub opposite: CallType,
    /// The lease that it is granted, in milliseconds.
    pub lease_ms: i32,
    /// When it arrived.
    pub began_at: OffsetDateTime,
    /// The version of its event `…Hold_Start`.
    pub began_version: i32,
    /// It is granted nothing from then on.
    pub wait_until: OffsetDateTime,
    /// The server that waits on behalf of the caller.
    pub server_id: Uuid,
    /// False if that server is gone.
    pub is_live: bool,
}

/// A request that arrives.
#[derive(Debug, Clone)]
pub struct Request {
    /// What it wants to do.
    pub call_type: CallType,
    /// Role and `sub` of the caller.
    pub principal: String,
    /// `sub` of the caller.
    pub actor: String,
    /// The caller's name for it.
    pub request_id: String,
    /// This call of it.
    pub attempt: Uuid,
    /// The lease that it wants, in milliseconds.
    pub lease_ms: i32,
    /// Longest time that renewals may stretch the lease to.
    pub longest_hold: Option<Duration>,
    /// Longest wait, in milliseconds.
    pub wait_ms: i32,
    /// The server that waits on behalf of the caller.
    pub server_id: Uuid,
    /// True if it also waits behind a holder of its own type.
    pub waits_for_same_type: bool,
}

/// Principal and request id: names a request at its line.
pub type RequestKey = (String, String);

impl Waiter {
    /// Names the request.
    pub fn key(&self) -> RequestKey {
        (self.principal.clone(), self.request_id.clone())
    }
}

impl Request {
    /// Names the request.
    pub fn key(&self) -> RequestKey {
        (self.principal.clone(), self.request_id.clone())
    }
}

/// What is known of a request, other than that it holds the line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Known {
    /// Nothing: the request was never seen, or is forgotten.
    #[default]
    New,
    /// It waits in the line for its turn.
    Waiting(Waiter),
    /// It is finished and remembered.
    Finished(Finished),
}

/// A finished request, as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Which of the two opposite calls it is.
    pub call_type: CallType,
    /// The call that completed it; `None`: its lease ended.
    pub completed_by: Option<Uuid>,
    /// It is remembered until then.
    pub forget_at: OffsetDateTime,
}

/// What is known of some requests of a line: as it was read, then as it was changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requests {
    known: BTreeMap<RequestKey, Known>,
    changed: BTreeSet<RequestKey>,
}

impl Requests {
    /// Adds a request as it was read.
    pub fn read(&mut self, key: RequestKey, known: Known) {
        self.known.insert(key, known);
    }

    pub(super) fn get(&self, key: &RequestKey) -> Known {
        self.known.get(key).cloned().unwrap_or_default()
    }

    pub(super) fn set(&mut self, key: RequestKey, known: Known) {
        self.changed.insert(key.clone());
        self.known.insert(key, known);
    }

    /// Those that are to be written, each as it came to be: one that is [`Known::New`] is forgotten.
    pub fn changed(&self) -> impl Iterator<Item = (&RequestKey, &Known)> {
        self.known.iter().filter(|(key, _)| self.changed.contains(*key))
    }
}

/// A call that gives a line back.
#[derive(Debug, Clone)]
pub struct Release {
    /// This call, so that a second run of it recognizes the first.
    pub call: Uuid,
    /// Role and `sub` of the caller.
    pub principal: String,
    /// What was held.
    pub call_type: CallType,
    /// The request that holds it.
    pub request_id: String,
    /// The grant's token.
    pub token: i64,
    /// False if what the line was held for has failed.
    pub succeeded: bool,
}

/// An attempt that waits no longer, because a later call of its request has its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenOver {
    /// The attempt that is told.
    pub attempt: Uuid,
    /// Its request.
    pub request_id: String,
    /// `sub` of the caller.
    pub actor: String,
}

/// A grant, as its holder gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The request's type.
    pub call_type: CallType,
    /// The caller's name for the request.
    pub request_id: String,
    /// To be shown when it completes.
    pub token: i64,
    /// End of the lease.
    pub expires_at: OffsetDateTime,
    /// How long it waited.
    pub held_for_ms: i32,
}

/// What became of a request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// It holds the line.
    Granted(Grant),
    /// It waits in the line for its turn.
    Waiting,
}

/// What became of a waiter that was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It was granted the line.
    Granted(Grant),
    /// It waits in the line for its turn.
    Waiting,
    /// A later call of the same request took its place over.
    TakenOver,
    /// It waits no longer and was granted nothing.
    Gone,
}

/// Why a waiter is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It may have been granted the line.
    Claim,
    /// Its time has passed.
    TimeOut,
    /// Its caller is gone.
    Abandon,
}

/// What happened to a call that waits, or waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It began to wait.
    Start,
    /// It was granted the line.
    Complete,
    /// It was abandoned.
    Failed,
}

/// An event of a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldEvent {
    /// The line's, raised by this event.
    pub version: i32,
    /// Whether the hold began or how it ended.
    pub phase: Phase,
    /// The waiter, as it was.
    pub waiter: Waiter,
    /// What it waits for or proceeds after, in the contract's words.
    pub reason: String,
    /// How long it has waited.
    pub elapsed_ms: i32,
}

impl HoldEvent {
    /// `waiter` began to wait.
    pub fn started(waiter: Waiter) -> Self {
        let reason = waiting_reason(waiter.opposite);
        Self { version: waiter.began_version, phase: Phase::Start, waiter, reason, elapsed_ms: 0 }
    }
}

/// What a waiter waits for, in the contract's words.
pub(super) fn waiting_reason(opposite: CallType) -> String {
    format!("Waiting for {} to complete", opposite.name())
}
