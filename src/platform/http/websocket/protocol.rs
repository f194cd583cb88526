//! A subprotocol as a state machine without I/O.
//!
//! It maps each message of the client to [`Action`]s, to be performed in order, and writes the text of each message of
//! the server. It never waits, owns no stream and reads no clock, so tests drive it with text alone.

use async_graphql::ServerError;

use super::message::OperationId;
use crate::platform::graphql::{engine::GraphqlRequest, response::OperationResponse};

/// Longest close reason, in bytes: the limit of a WebSocket close frame.
const REASON_BYTES: usize = 123;

/// A credential as the client sent it: absent, its text, or why it is malformed.
pub(super) type Credential = Result<Option<String>, String>;

/// A close frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Close {
    /// Determines whether clients reconnect.
    pub(super) code: u16,
    /// An explanation for people, at most 123 bytes.
    pub(super) reason: String,
}

impl Close {
    /// Cuts the reason to the limit of a close frame, at a character boundary.
    pub(super) fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES));
        Self { code, reason }
    }

    /// 1000: the client requested the close.
    pub(super) fn done() -> Self {
        Self::new(1000, "")
    }

    /// 1001: clients reconnect at once, to another server.
    pub(super) fn drained() -> Self {
        Self::new(1001, "server is shutting down, reconnect")
    }

    /// 1001: clients reconnect when they have something to run.
    pub(super) fn idle() -> Self {
        Self::new(1001, "nothing runs here without a credential, reconnect when needed")
    }

    /// 1013: clients reconnect later and resume with `after:`.
    pub(super) fn overload(reason: impl Into<String>) -> Self {
        Self::new(1013, reason)
    }

    /// 4400: the message is invalid in this protocol. Clients give up.
    pub(super) fn bad_message(reason: impl Into<String>) -> Self {
        Self::new(4400, reason)
    }

    /// 4403: the credential is refused, expired or revoked. Clients reconnect with another one.
    pub(super) fn forbidden(reason: impl Into<String>) -> Self {
        Self::new(4403, reason)
    }

    /// 4406: the server supports none of the client's subprotocols.
    pub(super) fn unacceptable() -> Self {
        Self::new(4406, "Subprotocol not acceptable")
    }

    /// 4408: no `connection_init` in time.
    pub(super) fn no_init() -> Self {
        Self::new(4408, "Connection initialisation timeout")
    }
}

/// What the socket's task has to do for a message.
#[derive(Debug)]
pub(super) enum Action {
    /// Send this text as a reply.
    Reply(String),
    /// Authenticate, then call [`Protocol::on_caller`]. Later actions and messages wait for that.
    Authenticate(Credential),
    /// Start an operation.
    Start(OperationId, GraphqlRequest),
    /// Drop the operation if it is open.
    Stop(OperationId),
    /// Close the socket. Later actions are not performed.
    Close(Close),
}

/// One subprotocol on one socket.
pub(super) trait Protocol: Send {
    /// The subprotocol's name; also the metric label.
    fn name(&self) -> &'static str;
    /// Handles a text message.
    fn on_text(&mut self, text: &str) -> Vec<Action>;
    /// Handles a binary message.
    fn on_binary(&mut self, bytes: &[u8]) -> Vec<Action>;
    /// Handles the outcome of [`Action::Authenticate`]; `Err` is why the credential was refused.
    fn on_caller(&mut self, outcome: Result<(), String>) -> Vec<Action>;
    /// The message to send before this close frame, if any.
    fn before_close(&self, close: &Close) -> Option<String>;
    /// The reply to an init that comes again while operations of the earlier caller are open.
    fn on_late_init(&self) -> String;
    /// The close for a start with the id of an open operation; `None` to replace that operation.
    fn on_duplicate(&self, id: &OperationId) -> Option<Close>;
    /// The reply after the client has stopped an open operation, if any.
    fn on_stopped(&self, id: &OperationId) -> Option<String>;
    /// The message for one response of an operation.
    fn result(&self, id: &OperationId, response: &OperationResponse) -> Result<String, serde_json::Error>;
    /// The message for an operation that failed as a whole. It is the last one with this id.
    fn failure(&self, id: &OperationId, errors: &[ServerError]) -> String;
    /// The message for an operation that has ended.
    fn complete(&self, id: &OperationId) -> String;
    /// The periodic message that shows that the server is alive; `None` where WebSocket pings suffice.
    fn keep_alive(&self) -> Option<String>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_reason_is_cut_at_a_character_boundary() {
        assert_eq!(Close::new(4400, "a".repeat(200)).reason.len(), 123);
        assert_eq!(Close::new(4400, "é".repeat(100)).reason, "é".repeat(61));
    }
}
