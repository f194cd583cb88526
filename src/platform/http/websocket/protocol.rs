//! What a protocol is to the socket task: a state machine without input or output of its own.
//!
//! It reads one message of the client and answers with [`Action`]s in the order in which they have to happen;
//! it words what the server has to say. It never waits, holds no stream and knows no clock, so a test drives it
//! with text alone.

use async_graphql::ServerError;

use super::message::OperationId;
use crate::platform::graphql::{engine::GraphqlRequest, response::OperationResponse};

/// Longest close reason that fits a WebSocket close frame.
const REASON_BYTES: usize = 123;

/// A credential as it arrived: none, its text, or what is wrong with the way it was given.
pub(super) type Credential = Result<Option<String>, String>;

/// A close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Close {
    /// Decides what clients do next.
    pub(super) code: u16,
    /// Why, for people.
    pub(super) reason: String,
}

impl Close {
    /// The reason is cut to what a close frame holds, between two characters.
    pub(super) fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES));
        Self { code, reason }
    }

    /// 1000: the client asked for it.
    pub(super) fn done() -> Self {
        Self::new(1000, "")
    }

    /// 1001: clients come back at once, to another server.
    pub(super) fn drained() -> Self {
        Self::new(1001, "server is shutting down, reconnect")
    }

    /// 1013: clients come back later and resume with `after:`.
    pub(super) fn overload(reason: impl Into<String>) -> Self {
        Self::new(1013, reason)
    }

    /// 4400: the message is not of this protocol. Clients give up.
    pub(super) fn bad_message(reason: impl Into<String>) -> Self {
        Self::new(4400, reason)
    }

    /// 4403: the credential is refused or has lapsed. Clients come back with another.
    pub(super) fn forbidden(reason: impl Into<String>) -> Self {
        Self::new(4403, reason)
    }

    /// 4406: none of the client's subprotocols is spoken here.
    pub(super) fn unacceptable() -> Self {
        Self::new(4406, "Subprotocol not acceptable")
    }

    /// 4408: no `connection_init` in time.
    pub(super) fn no_init() -> Self {
        Self::new(4408, "Connection initialisation timeout")
    }
}

/// What a message asks the socket task to do.
#[derive(Debug)]
pub(super) enum Action {
    /// Answer with this text.
    Reply(String),
    /// Find out who the credential proves, then tell [`Protocol::on_caller`]. Later actions, and later messages, wait.
    Authenticate(Credential),
    /// Begin an operation.
    Start(OperationId, GraphqlRequest),
    /// Drop an operation, if it is under way.
    Stop(OperationId),
    /// Close; actions after this one are moot.
    Close(Close),
}

/// One subprotocol on one socket.
pub(super) trait Protocol: Send {
    /// The subprotocol's name; also the metric label.
    fn name(&self) -> &'static str;
    /// Reads a text message.
    fn on_text(&mut self, text: &str) -> Vec<Action>;
    /// Reads a binary message.
    fn on_binary(&mut self, bytes: &[u8]) -> Vec<Action>;
    /// Hears what came of [`Action::Authenticate`]; `Err` says why the credential was refused.
    fn on_caller(&mut self, outcome: Result<(), String>) -> Vec<Action>;
    /// What precedes a close frame, if anything.
    fn before_close(&self, close: &Close) -> Option<String>;
    /// An init came again while operations of the earlier caller are under way: what the client is told instead.
    fn on_late_init(&self) -> String;
    /// `id` is to begin while it is under way: the close that this earns, or `None` to replace the earlier one.
    fn on_duplicate(&self, id: &OperationId) -> Option<Close>;
    /// `id` was under way and the client stopped it: what it is told.
    fn on_stopped(&self, id: &OperationId) -> Option<String>;
    /// One result.
    fn result(&self, id: &OperationId, response: &OperationResponse) -> Result<String, serde_json::Error>;
    /// The operation failed as a whole; nothing follows under this id.
    fn failure(&self, id: &OperationId, errors: &[ServerError]) -> String;
    /// The operation has ended by itself.
    fn complete(&self, id: &OperationId) -> String;
    /// What is sent now and then to show that the server lives; `None` where WebSocket pings are enough.
    fn keep_alive(&self) -> Option<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert_eq!(Close::new(4400, "a".repeat(200)).reason.len(), 123);
        assert_eq!(Close::new(4400, "é".repeat(100)).reason, "é".repeat(61));
    }
}
