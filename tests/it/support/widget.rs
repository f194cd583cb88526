//! A deployed widget without a token on its socket: one tab of a browser, with its operations under random ids.

use std::{collections::VecDeque, time::Duration};

use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use uuid::Uuid;

use super::{client::Client, socket::Socket};

/// What a widget that waits for an agent subscribes to.
pub(crate) const WAITING: &str = "subscription($contractId: UUID, $status: String) {
    chatChanged(contractId: $contractId, status: $status) { operation record { id key status headline } } }";
/// What a widget subscribes to in a chat.
pub(crate) const IN_CHAT: &str = "subscription { chatChanged { operation record { id key status headline } } }";
/// The messages of its chat.
pub(crate) const MESSAGES: &str = "subscription($chatId: UUID!) {
    onMessageAdded(chatId: $chatId) { operation record { text isAgent author } } }";

/// How long nothing is sent until a test takes it for silence.
pub(crate) const SILENCE: Duration = Duration::from_millis(400);

/// One tab: a socket, and what has arrived on it.
pub(crate) struct Tab {
    socket: Socket,
    arrived: VecDeque<(String, Value)>,
}

/// An id as the library makes it.
pub(crate) fn new_id() -> String {
    Uuid::new_v4().to_string()
}

impl Tab {
    /// Opens a tab's socket without a token.
    pub(crate) async fn open(node: &Client) -> Self {
        Self::open_at(node, "/graphql").await
    }

    /// Opens a tab's socket at this path.
    pub(crate) async fn open_at(node: &Client, path: &str) -> Self {
        Self::open_with(node, path, json!({})).await
    }

    /// Opens a socket with this payload of the init.
    pub(crate) async fn open_with(node: &Client, path: &str, payload: Value) -> Self {
        let protocol = [("sec-websocket-protocol", "graphql-transport-ws")];
        let mut socket = Socket::open_at(node.address, path, &protocol).await.expect("an open socket");
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        Self { socket, arrived: VecDeque::new() }
    }

    /// Begins an operation under this id, and waits until the server has begun it.
    pub(crate) async fn subscribe(&mut self, id: &str, document: &str, variables: Value) {
        let payload = json!({ "query": document, "variables": variables });
        self.socket.send(json!({ "type": "subscribe", "id": id, "payload": payload })).await;
    }

    /// Runs a query on the socket, which is answered when the operations before it have begun.
    pub(crate) async fn settle(&mut self) {
        let id = new_id();
        self.subscribe(&id, "query { __typename }", json!({})).await;
        loop {
            let message = self.socket.next().await;
            match message["type"].as_str() {
                Some("complete") if message["id"] == id.as_str() => break,
                Some("next") if message["id"] == id.as_str() => {}
                _ => self.take(message),
            }
        }
        // The stream reads where the log ends before it listens.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    fn take(&mut self, mut message: Value) {
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        match message["type"].as_str() {
            Some("next") => self.arrived.push_back((id, message["payload"]["data"].take())),
            Some("error") => self.arrived.push_back((id, json!({ "errors": message["payload"].take() }))),
            _ => panic!("instead of a next: {message}"),
        }
    }

    /// The next message: its operation's id, and the value of its root field.
    pub(crate) async fn next(&mut self) -> (String, Value) {
        while self.arrived.is_empty() {
            let message = self.socket.next().await;
            self.take(message);
        }
        let (id, data) = self.arrived.pop_front().unwrap();
        let field = data.as_object().and_then(|fields| fields.iter().next()).map(|(name, value)| (name, value.clone()));
        match field {
            Some((name, _)) if name == "errors" => (id, data),
            Some((_, value)) => (id, value),
            None => (id, data),
        }
    }

    /// The value of the next message.
    pub(crate) async fn event(&mut self) -> Value {
        self.next().await.1
    }

    /// Asserts that nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) {
        if let Ok(message) = timeout(SILENCE, self.next()).await {
            panic!("told of {message:?}");
        }
    }

    /// Reads for a while, so that pings are answered, and the server has written down what has arrived.
    pub(crate) async fn rest(&mut self) {
        let reads = async {
            loop {
                let message = self.socket.next().await;
                self.take(message);
            }
        };
        let _: Result<(), _> = timeout(SILENCE, reads).await;
    }

    /// Leaves as a browser does that goes to another page.
    pub(crate) async fn leave(mut self) {
        let frame = CloseFrame { code: CloseCode::Away, reason: "".into() };
        self.socket.send_raw(Message::Close(Some(frame))).await;
        while let Some(Ok(_)) = self.socket.next_raw().await {}
    }

    /// Waits until the server closes the socket; the code.
    pub(crate) async fn closed(&mut self) -> u16 {
        self.socket.closed().await.0
    }
}
