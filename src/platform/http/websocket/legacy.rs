//! `graphql-ws`, the protocol of the package subscriptions-transport-ws, for deployed clients.
//!
//! Its description leaves much open. This server follows the reference server, with these exceptions:
//!
//! - **`start` before `connection_init`**: the reference server ran it without authentication. Here it counts as an
//!   init without a payload and without an acknowledgement. It runs as the caller that the upgrade request's header
//!   proves, or as anonymous without a header; a header that is refused closes the socket.
//! - **`start` with the id of an open operation** stops that operation, as in the reference server, but without its
//!   `complete`, which a client would take for the new operation's.
//! - **An invalid document** gets `error`, as the description demands (the reference server sent `data`).
//! - **A repeated `connection_init`** is authenticated and acknowledged again, as in the reference server, but only
//!   while no operation is open: no operation outlives the credential that it began with.
//! - **A refused credential** closes with 4403 after `connection_error`, so that clients know the reason (the reference
//!   server closed with 1011).
//!
//! The reply to a message that is not JSON is `connection_error`, to an unknown type `error`; the socket stays open.

use async_graphql::ServerError;
use serde_json::json;

use super::{
    credential,
    message::{Incoming, OperationId, write_plain, write_result},
    protocol::{Action, Close, Protocol},
};
use crate::platform::graphql::response::OperationResponse;

/// The subprotocol's name in the upgrade request.
pub(super) const NAME: &str = "graphql-ws";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No caller yet.
    New,
    /// Authentication is running. Only an explicit init is acknowledged.
    Authenticating { acknowledge: bool },
    /// The caller is known.
    Ready,
}

/// The protocol's state on one socket.
#[derive(Debug)]
pub(super) struct Legacy {
    state: State,
}

impl Legacy {
    pub(super) fn new() -> Self {
        Self { state: State::New }
    }

    fn start(&mut self, message: &Incoming<'_>) -> Vec<Action> {
        let id = match OperationId::read(message.id, true) {
            Ok(id) => id,
            Err(problem) => return vec![error(None, &problem)],
        };
        let start = match message.request() {
            Ok(request) => Action::Start(id, request),
            Err(problem) => return vec![error(Some(&id), &problem)],
        };
        if self.state == State::New {
            self.state = State::Authenticating { acknowledge: false };
            return vec![Action::Authenticate(Ok(None)), start];
        }
        vec![start]
    }
}

/// The reply `error` to a message that is invalid.
fn error(id: Option<&OperationId>, problem: &str) -> Action {
    Action::Reply(write_plain(id, "error", Some(&json!({ "message": problem }))))
}

fn connection_error(problem: &str) -> String {
    write_plain(None, "connection_error", Some(&json!({ "message": problem })))
}

impl Protocol for Legacy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_text(&mut self, text: &str) -> Vec<Action> {
        let message = match Incoming::read(text) {
            Ok(message) => message,
            Err(problem) => return vec![Action::Reply(connection_error(&problem))],
        };
        match message.kind().as_deref() {
            Ok("connection_init") => {
                self.state = State::Authenticating { acknowledge: true };
                vec![Action::Authenticate(credential::from_init(message.payload))]
            }
            Ok("start") => self.start(&message),
            Ok("stop") => OperationId::read(message.id, true).map(Action::Stop).into_iter().collect(),
            Ok("connection_terminate") => vec![Action::Close(Close::done())],
            _ => vec![error(OperationId::read(message.id, true).ok().as_ref(), "Invalid message type!")],
        }
    }

    fn on_binary(&mut self, bytes: &[u8]) -> Vec<Action> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.on_text(text),
            Err(_) => vec![Action::Reply(connection_error("not a message: not text"))],
        }
    }

    fn on_caller(&mut self, outcome: Result<(), String>) -> Vec<Action> {
        let acknowledge = self.state == State::Authenticating { acknowledge: true };
        self.state = State::Ready;
        match outcome {
            Ok(()) if acknowledge => {
                let texts = [Some(write_plain(None, "connection_ack", None::<&()>)), self.keep_alive()];
                texts.into_iter().flatten().map(Action::Reply).collect()
            }
            Ok(()) => Vec::new(),
            Err(why) => vec![Action::Close(Close::forbidden(why))],
        }
    }

    fn before_close(&self, close: &Close) -> Option<String> {
        matches!(close.code, 4403 | 4408).then(|| connection_error(&close.reason))
    }

    fn on_late_init(&self) -> String {
        connection_error("connection_init while operations are under way")
    }

    fn on_duplicate(&self, _: &OperationId) -> Option<Close> {
        None
    }

    fn on_stopped(&self, id: &OperationId) -> Option<String> {
        Some(self.complete(id))
    }

    fn result(&self, id: &OperationId, response: &OperationResponse) -> Result<String, serde_json::Error> {
        write_result(id, "data", response)
    }

    /// Clients expect one error as the payload; the reference client also reads a list under `errors`.
    fn failure(&self, id: &OperationId, errors: &[ServerError]) -> String {
        let mut payload = json!(errors.first());
        if let (Some(payload), 2..) = (payload.as_object_mut(), errors.len()) {
            payload.insert("errors".into(), json!(errors));
        }
        write_plain(Some(id), "error", Some(&payload))
    }

    fn complete(&self, id: &OperationId) -> String {
        write_plain(Some(id), "complete", None::<&()>)
    }

    fn keep_alive(&self) -> Option<String> {
        Some(write_plain(None, "ka", None::<&()>))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn replies(actions: &[Action]) -> Vec<&str> {
        actions
            .iter()
            .filter_map(|action| if let Action::Reply(text) = action { Some(&**text) } else { None })
            .collect()
    }

    const START: &str = r#"{"id":"1","type":"start","payload":{"query":"{a}"}}"#;

    #[test]
    fn init_is_acknowledged_and_may_be_repeated() {
        let mut legacy = Legacy::new();
        for _ in 0..2 {
            let actions = legacy.on_text(r#"{"type":"connection_init","payload":{"Authorization":"Bearer t"}}"#);
            assert!(matches!(&actions[..], [Action::Authenticate(Ok(Some(token)))] if token == "t"));
            assert_eq!(replies(&legacy.on_caller(Ok(()))), [r#"{"type":"connection_ack"}"#, r#"{"type":"ka"}"#]);
        }
        legacy.on_text(r#"{"type":"connection_init"}"#);
        let refused = legacy.on_caller(Err("expired".into()));
        let [Action::Close(close)] = &refused[..] else { panic!("a close") };
        assert_eq!(close.code, 4403);
        let before = legacy.before_close(close).unwrap();
        assert_eq!(before, r#"{"type":"connection_error","payload":{"message":"expired"}}"#);
    }

    #[test]
    fn a_start_before_init_authenticates_first() {
        let mut legacy = Legacy::new();
        let actions = legacy.on_text(START);
        assert!(matches!(&actions[..], [Action::Authenticate(Ok(None)), Action::Start(..)]));
        assert!(legacy.on_caller(Ok(())).is_empty(), "not acknowledged: there was no init");
        assert!(matches!(&legacy.on_text(START)[..], [Action::Start(..)]));
    }

    #[test]
    fn invalid_messages_get_an_error_and_the_socket_stays_open() {
        let mut legacy = Legacy::new();
        for (text, kind) in [
            ("{", "connection_error"),
            ("[]", "connection_error"),
            (r#"{"id":"1","type":"subscribe"}"#, "error"),
            (r#"{"id":"1"}"#, "error"),
            (r#"{"id":"1","type":"start"}"#, "error"),
            (r#"{"type":"start","payload":{"query":"{a}"}}"#, "error"),
            (r#"{"id":"1","type":"start","payload":{"query":{"kind":"Document"}}}"#, "error"),
        ] {
            let actions = legacy.on_text(text);
            let [reply] = replies(&actions)[..] else { panic!("one reply to {text}") };
            assert!(reply.contains(&format!(r#""type":"{kind}""#)), "{text} -> {reply}");
        }
        assert!(matches!(&legacy.on_text(r#"{"id":1,"type":"stop"}"#)[..], [Action::Stop(_)]));
        assert!(legacy.on_text(r#"{"type":"stop"}"#).is_empty());
        assert!(
            matches!(&legacy.on_text(r#"{"type":"connection_terminate"}"#)[..], [Action::Close(c)] if c.code == 1000)
        );
    }
}
