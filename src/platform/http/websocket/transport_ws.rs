//! `graphql-transport-ws`, the protocol of the package graphql-ws and of all current clients.
//!
//! ```text
//!          connection_init                      connection_ack
//!   New ───────────────────► Authenticating ──────────────────► Ready ── subscribe, complete
//!    │ subscribe: 4401         │ refused: 4403                    │
//!    └─ no init in time: 4408  └─ connection_init: 4429 ──────────┘
//! ```
//! `ping`, `pong` and a `complete` for an id without an open operation are valid in every state. A message that the
//! protocol does not define, or defines for the other direction, closes with 4400.

use async_graphql::ServerError;
use serde_json::value::RawValue;

use super::{
    credential,
    message::{Incoming, OperationId, write_plain, write_result},
    protocol::{Action, Close, Protocol},
};
use crate::platform::graphql::response::OperationResponse;

/// The subprotocol's name in the upgrade request.
pub(super) const NAME: &str = "graphql-transport-ws";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Authenticating,
    Ready,
}

/// The protocol's state on one socket.
#[derive(Debug)]
pub(super) struct TransportWs {
    state: State,
}

impl TransportWs {
    pub(super) fn new() -> Self {
        Self { state: State::New }
    }

    fn read(&mut self, text: &str) -> Result<Option<Action>, Close> {
        let message = Incoming::read(text).map_err(Close::bad_message)?;
        let kind = message.kind().map_err(Close::bad_message)?;
        Ok(match &*kind {
            "connection_init" => {
                let payload = message.object().map_err(Close::bad_message)?;
                if self.state != State::New {
                    return Err(Close::new(4429, "Too many initialisation requests"));
                }
                self.state = State::Authenticating;
                Some(Action::Authenticate(credential::from_init(payload)))
            }
            "ping" => {
                let payload: Option<&RawValue> = message.object().map_err(Close::bad_message)?;
                Some(Action::Reply(write_plain(None, "pong", payload.as_ref())))
            }
            "pong" => {
                message.object().map_err(Close::bad_message)?;
                None
            }
            "subscribe" => {
                let id = OperationId::read(message.id, false).map_err(Close::bad_message)?;
                let request = message.request().map_err(Close::bad_message)?;
                if self.state != State::Ready {
                    return Err(Close::new(4401, "Unauthorized"));
                }
                Some(Action::Start(id, request))
            }
            "complete" => Some(Action::Stop(OperationId::read(message.id, false).map_err(Close::bad_message)?)),
            _ => return Err(Close::bad_message(format!("no such message type for a client: {kind}"))),
        })
    }
}

impl Protocol for TransportWs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn on_text(&mut self, text: &str) -> Vec<Action> {
        match self.read(text) {
            Ok(action) => action.into_iter().collect(),
            Err(close) => vec![Action::Close(close)],
        }
    }

    fn on_binary(&mut self, _: &[u8]) -> Vec<Action> {
        vec![Action::Close(Close::bad_message("messages must be text, not binary"))]
    }

    fn on_caller(&mut self, outcome: Result<(), String>) -> Vec<Action> {
        match outcome {
            Ok(()) => {
                self.state = State::Ready;
                vec![Action::Reply(write_plain(None, "connection_ack", None::<&()>))]
            }
            Err(why) => vec![Action::Close(Close::forbidden(why))],
        }
    }

    fn before_close(&self, _: &Close) -> Option<String> {
        None
    }

    /// Never called: a second init closes the socket first.
    fn on_late_init(&self) -> String {
        String::new()
    }

    fn on_duplicate(&self, id: &OperationId) -> Option<Close> {
        Some(Close::new(4409, format!("Subscriber for {id} already exists")))
    }

    fn on_stopped(&self, _: &OperationId) -> Option<String> {
        None
    }

    fn result(&self, id: &OperationId, response: &OperationResponse) -> Result<String, serde_json::Error> {
        write_result(id, "next", response)
    }

    fn failure(&self, id: &OperationId, errors: &[ServerError]) -> String {
        write_plain(Some(id), "error", Some(&errors))
    }

    fn complete(&self, id: &OperationId) -> String {
        write_plain(Some(id), "complete", None::<&()>)
    }

    fn keep_alive(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SUBSCRIBE: &str = r#"{"id":"1","type":"subscribe","payload":{"query":"{a}"}}"#;

    fn in_state(state: State) -> TransportWs {
        TransportWs { state }
    }

    fn close_code(actions: &[Action]) -> Option<u16> {
        match actions {
            [Action::Close(close)] => Some(close.code),
            _ => None,
        }
    }

    #[test]
    fn messages_are_valid_or_close_by_the_table_of_states() {
        use State::{Authenticating, New, Ready};
        let init = r#"{"type":"connection_init","payload":{"authToken":"t"}}"#;
        let [Action::Authenticate(Ok(Some(token)))] = &in_state(New).on_text(init)[..] else { panic!("an init") };
        assert_eq!(token, "t");
        for (state, text, code) in [
            (Authenticating, init, 4429),
            (Ready, init, 4429),
            (New, SUBSCRIBE, 4401),
            (Authenticating, SUBSCRIBE, 4401),
        ] {
            assert_eq!(close_code(&in_state(state).on_text(text)), Some(code), "{state:?} {text}");
        }
        assert!(matches!(&in_state(Ready).on_text(SUBSCRIBE)[..], [Action::Start(..)]));
        for state in [New, Authenticating, Ready] {
            let stop = in_state(state).on_text(r#"{"id":"9","type":"complete"}"#);
            assert!(matches!(&stop[..], [Action::Stop(_)]), "{state:?}");
            assert!(in_state(state).on_text(r#"{"type":"pong","payload":{}}"#).is_empty());
            let actions = in_state(state).on_text(r#"{"type":"ping","payload":{"at": 1.50}}"#);
            let [Action::Reply(pong)] = &actions[..] else { panic!("a pong") };
            assert_eq!(pong, r#"{"type":"pong","payload":{"at": 1.50}}"#);
        }
        assert_eq!(close_code(&in_state(New).on_caller(Err("no".into()))), Some(4403));
    }

    #[test]
    fn invalid_messages_close_with_4400_in_every_state() {
        for text in [
            "",
            "{",
            "null",
            "[]",
            r#"["1","subscribe",{"query":"{a}"}]"#,
            "{}",
            r#"{"type":null}"#,
            r#"{"type":7}"#,
            r#"{"type":"hello"}"#,
            r#"{"type":"connection_ack"}"#,
            r#"{"type":"next","id":"1","payload":{}}"#,
            r#"{"type":"start","id":"1","payload":{"query":"{a}"}}"#,
            r#"{"type":"connection_init","payload":[]}"#,
            r#"{"type":"connection_init","payload":"t"}"#,
            r#"{"type":"ping","payload":1}"#,
            r#"{"type":"pong","payload":[]}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"complete","id":1}"#,
            r#"{"type":"subscribe","payload":{"query":"{a}"}}"#,
            r#"{"id":"","type":"subscribe","payload":{"query":"{a}"}}"#,
            r#"{"id":"1","type":"subscribe"}"#,
            r#"{"id":"1","type":"subscribe","payload":["{a}"]}"#,
            r#"{"id":"1","type":"subscribe","payload":{}}"#,
            r#"{"id":"1","type":"subscribe","payload":{"query":null}}"#,
            r#"{"id":"1","type":"subscribe","payload":{"query":"{a}","variables":[]}}"#,
            r#"{"id":"1","type":"subscribe","payload":{"query":"{a}","operationName":1}}"#,
            r#"{"id":"1","type":"subscribe","payload":{"query":"{a}","extensions":"x"}}"#,
        ] {
            for state in [State::New, State::Authenticating, State::Ready] {
                assert_eq!(close_code(&in_state(state).on_text(text)), Some(4400), "{state:?} {text}");
            }
        }
        assert_eq!(close_code(&in_state(State::Ready).on_binary(SUBSCRIBE.as_bytes())), Some(4400));
    }

    #[test]
    fn null_members_count_as_absent() {
        for text in [
            r#"{"id":"1","type":"subscribe","payload":{"query":"{a}","variables":null,"operationName":null,"extensions":null}}"#,
            r#" {"id":"1","type":"subscribe","payload":{"query":"{a}","extensions":{"x":1}},"more":true}"#,
        ] {
            assert!(matches!(&in_state(State::Ready).on_text(text)[..], [Action::Start(..)]), "{text}");
        }
        let init = in_state(State::New).on_text(r#"{"type":"connection_init","payload":null}"#);
        assert!(matches!(&init[..], [Action::Authenticate(Ok(None))]));
    }

    proptest! {
        /// At most one action, and a close reason that fits its frame.
        #[test]
        fn any_text_is_handled_without_panic(text in r#"(\{"(id|type|payload)":("[a-z_é]{0,200}"|\{\}|null|3),?"(id|type)":"[a-z]{0,9}"\}|.{0,300})"#) {
            for state in [State::New, State::Authenticating, State::Ready] {
                let actions = in_state(state).on_text(&text);
                prop_assert!(actions.len() <= 1);
                if let [Action::Close(close)] = &actions[..] {
                    prop_assert!(close.reason.len() <= 123 && !close.reason.is_empty());
                }
            }
        }
    }
}
