//! The events of a line: who waited for whom, and how it ended.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::rules::{CallType, HoldEvent, Phase, TakenOver};

/// Subject of a line's events; its id is the chat's.
pub const OPERATION: &str = "operation";
/// Purpose of the timer that looks at a line whose holder may have died.
pub(super) const REAP: &str = "reap";
/// The field of [`Hold`] by which a waiter listens for its own events.
pub(super) const WAITER: &str = "waiter";

/// The event by which a call learns that a later call of its request waits in its place. Its subject is the older attempt
/// and not the chat: a hold goes on, and its chat's events show it once.
pub(super) const TAKEN_OVER: &str = "CoordinationHold_TakenOver";

/// Every event type of the subject.
pub(super) const EVENT_TYPES: &[&str] = &[
    "StartChatCoordinationHold_Start",
    "StartChatCoordinationHold_Complete",
    "StartChatCoordinationHold_Failed",
    "EndChatCoordinationHold_Start",
    "EndChatCoordinationHold_Complete",
    "EndChatCoordinationHold_Failed",
    TAKEN_OVER,
];

/// The event type of a hold.
pub(super) const fn event_type(call_type: CallType, phase: Phase) -> &'static str {
    match (call_type, phase) {
        (CallType::StartChat, Phase::Start) => EVENT_TYPES[0],
        (CallType::StartChat, Phase::Complete) => EVENT_TYPES[1],
        (CallType::StartChat, Phase::Failed) => EVENT_TYPES[2],
        (CallType::EndChat, Phase::Start) => EVENT_TYPES[3],
        (CallType::EndChat, Phase::Complete) => EVENT_TYPES[4],
        (CallType::EndChat, Phase::Failed) => EVENT_TYPES[5],
    }
}

/// Who may see a chat: part of the events of its line, so that rights are decided from the event alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parties {
    /// The chat's website.
    pub website_id: Uuid,
    /// The visitor who asked.
    pub visitor: String,
    /// The agent it is offered to.
    pub agent_id: Option<Uuid>,
}

/// A coordination hold: a call that waits for its opposite. The payload of its events; it has no token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// The company that it belongs to, first part of every key.
    pub company_id: Uuid,
    /// The line's chat.
    pub chat_id: String,
    /// Raised at each event of the line.
    pub version: i32,
    /// The event's type.
    pub event: String,
    /// The call that is held.
    pub request_id: String,
    /// What it waits for, or what it proceeds after.
    pub hold_reason: String,
    /// The holder's type when the call arrived.
    pub opposite_call_type: String,
    /// How long the call has waited; null when it begins to wait.
    pub elapsed_time_in_milliseconds: Option<i32>,
    /// The attempt whose server is woken; null when it begins to wait.
    pub waiter: Option<Uuid>,
    /// Who may see the chat; null for a chat elsewhere.
    pub parties: Option<Parties>,
    /// Database time, read together with the line.
    #[serde(with = "time::serde::rfc3339")]
    pub occurred_at: OffsetDateTime,
}

impl Hold {
    /// The record of [`TAKEN_OVER`]: an attempt waits no longer.
    pub(super) fn taken_over(
        company_id: Uuid,
        chat_id: &str,
        TakenOver { attempt, request_id, .. }: &TakenOver,
        occurred_at: OffsetDateTime,
    ) -> Self {
        Self {
            company_id,
            chat_id: chat_id.to_owned(),
            version: 1,
            event: TAKEN_OVER.to_owned(),
            request_id: request_id.clone(),
            hold_reason: "A later call of this request waits in its place".to_owned(),
            opposite_call_type: String::new(),
            elapsed_time_in_milliseconds: None,
            waiter: Some(*attempt),
            parties: None,
            occurred_at,
        }
    }

    /// The record of an event.
    pub(super) fn new(
        company_id: Uuid,
        chat_id: &str,
        parties: Option<&Parties>,
        occurred_at: OffsetDateTime,
        event: &HoldEvent,
    ) -> Self {
        let HoldEvent { version, phase, waiter, reason, elapsed_ms } = event;
        Self {
            company_id,
            chat_id: chat_id.to_owned(),
            version: *version,
            event: event_type(waiter.call_type, *phase).to_owned(),
            request_id: waiter.request_id.clone(),
            hold_reason: reason.clone(),
            opposite_call_type: waiter.opposite.name().to_owned(),
            elapsed_time_in_milliseconds: (*phase != Phase::Start).then_some(*elapsed_ms),
            waiter: (*phase != Phase::Start).then_some(waiter.attempt),
            parties: parties.cloned(),
            occurred_at,
        }
    }
}
