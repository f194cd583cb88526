//! A client of one server: HTTP requests and subscriptions, as a program of a company would make them.

use std::{net::SocketAddr, ops::Deref};

use serde_json::{Value, json};
use switchboard::platform::auth::install_tls_provider;

use super::socket::Socket;

/// Calls the server at one address.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    http: reqwest::Client,
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Deref for Answer {
    type Target = Value;
    fn deref(&self) -> &Value {
        &self.body
    }
}

impl Answer {
    /// `extensions.code` of the first error; empty where there is none.
    pub(crate) fn code(&self) -> &str {
        self.body["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        install_tls_provider();
        Self { address, http: reqwest::Client::new() }
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The status of the response to a plain GET.
    pub(crate) async fn status(&self, path: &str) -> u16 {
        self.http.get(self.url(path)).send().await.unwrap().status().as_u16()
    }

    /// The text of the response to a plain GET.
    pub(crate) async fn text(&self, path: &str) -> String {
        self.http.get(self.url(path)).send().await.unwrap().text().await.unwrap()
    }

    /// Sends this body.
    pub(crate) async fn post(&self, token: &str, body: impl Into<reqwest::Body>) -> reqwest::Result<Answer> {
        let mut request = self.http.post(self.url("/graphql")).header("accept", "application/graphql-response+json");
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let response = request.header("content-type", "application/json").body(body).send().await?;
        Ok(Answer { status: response.status().as_u16(), body: response.json().await? })
    }

    /// Runs a query or mutation on a server that may be gone.
    pub(crate) async fn try_run(&self, token: &str, document: &str, variables: Value) -> reqwest::Result<Answer> {
        self.post(token, json!({ "query": document, "variables": variables }).to_string()).await
    }

    /// Runs a query or mutation; the whole answer.
    pub(crate) async fn run(&self, token: &str, document: &str, variables: Value) -> Answer {
        self.try_run(token, document, variables).await.unwrap()
    }

    /// Runs what must succeed; its one root field.
    pub(crate) async fn data(&self, token: &str, document: &str, variables: Value) -> Value {
        let mut fields = self.fields(token, document, variables).await;
        fields.as_object_mut().unwrap().values_mut().next().unwrap().take()
    }

    /// Runs what must succeed; its root fields by name.
    pub(crate) async fn fields(&self, token: &str, document: &str, variables: Value) -> Value {
        let mut answer = self.run(token, document, variables).await;
        assert!(answer.get("errors").is_none(), "{document}: {answer:?}");
        answer.body["data"].take()
    }

    /// Runs what must fail; its code.
    pub(crate) async fn code(&self, token: &str, document: &str, variables: Value) -> String {
        let answer = self.run(token, document, variables).await;
        assert!(!answer.code().is_empty(), "{document}: no error but {answer:?}");
        answer.code().to_owned()
    }

    /// Opens a socket and introduces itself.
    pub(crate) async fn socket(&self, token: &str) -> Socket {
        let mut socket = Socket::speaking(self.address, "graphql-transport-ws").await;
        let payload = if token.is_empty() { json!({}) } else { json!({ "authToken": token }) };
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        socket
    }

    /// Opens a subscription on a socket of its own.
    pub(crate) async fn subscribe(&self, token: &str, document: &str, variables: Value) -> Subscription {
        let mut socket = self.socket(token).await;
        let payload = json!({ "query": document, "variables": variables });
        socket.send(json!({ "type": "subscribe", "id": "1", "payload": payload })).await;
        Subscription { socket }
    }
}

/// One subscription on one socket.
pub(crate) struct Subscription {
    pub(crate) socket: Socket,
}

impl Subscription {
    /// The next result, or `{"errors": …}` where the server ended the subscription with an error.
    pub(crate) async fn payload(&mut self) -> Value {
        loop {
            let mut message = self.socket.next().await;
            match message["type"].as_str() {
                Some("next") => return message["payload"].take(),
                Some("error") => return json!({ "errors": message["payload"].take() }),
                Some("ping") => self.socket.send(json!({ "type": "pong" })).await,
                _ => panic!("instead of a next: {message}"),
            }
        }
    }

    /// The next event: `{operation, record, cursor, resync}`.
    pub(crate) async fn event(&mut self) -> Value {
        let mut payload = self.payload().await;
        assert!(payload.get("errors").is_none(), "{payload}");
        let fields = payload["data"].as_object_mut().unwrap();
        fields.values_mut().next().unwrap().take()
    }

    /// The next so many events.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::with_capacity(count);
        for _ in 0..count {
            events.push(self.event().await);
        }
        events
    }

    /// Reads on until an event is `wanted`; all of them, that one last.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            events.push(self.event().await);
            if events.last().is_some_and(&wanted) {
                return events;
            }
        }
    }

    /// Reads up to READY; the records of the present state.
    pub(crate) async fn ready(&mut self) -> Vec<Value> {
        let mut events = self.until(|event| event["operation"] == "READY").await;
        events.pop();
        assert!(events.iter().all(|event| event["operation"] == "SNAPSHOT"), "{events:?}");
        events.into_iter().map(|mut event| event["record"].take()).collect()
    }
}
