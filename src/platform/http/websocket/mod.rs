//! GraphQL over WebSocket: `graphql-transport-ws`, and `graphql-ws` for clients already in the field.
//!
//! # Shape
//!
//! | file | what |
//! | --- | --- |
//! | `transport_ws.rs`, `legacy.rs` | one protocol each, as a state machine over text (`protocol.rs`) |
//! | `message.rs`, `credential.rs` | pure reading and writing |
//! | `connection/` | the one task of a socket: all events, in turn |
//! | `operations.rs` | the streams under way, keyed, polled inside that task |
//! | `signal.rs` | which of the things that a task waits for has something new |
//! | `wire.rs`, `outbox.rs` | the socket, and what waits for its reader |
//! | `pulse.rs` | every deadline of a socket, as a function of the time |
//! | `callers.rs` | who calls, and for how long |
//!
//! # What holds
//!
//! - **A slow reader costs only itself.** While its outbox is full its operations are not polled; reading goes on,
//!   so that a `complete`, a ping or a close is seen. One that takes nothing from a full outbox for the send
//!   timeout is closed with 1013 and resumes with `after:`.
//! - **A hot stream costs only its share.** Streams take turns with each other and with the reader; a query that
//!   takes long is a stream that has nothing yet.
//! - **Nothing is unbounded**: sockets, operations, messages in and out, what waits, the time for an init, for
//!   silence and for closing.
//! - **An idle socket is small**: one task, a read buffer of 512 bytes, and a write buffer as large as its largest
//!   message was; 9.1 KiB of memory with a subscription (PSS, measured with 5,000 by `make bench`).
//! - **Nothing runs for nobody**: a `complete`, an expired credential or a lost connection drops the streams at once.
//! - **A panic ends one operation**, with an `error`.
//!
//! # Close codes
//!
//! What clients do decides (graphql-ws comes back after 1001, 1006, 1012, 1013, 4403 and 4408, gives up after others):
//!
//! | code | when |
//! | --- | --- |
//! | 1001 | this server is shutting down; queries and mutations under way were given time |
//! | 1002, 1007, 1009 | broken frames, text that is not UTF-8, a message over the body limit |
//! | 1013 | a reader that is too slow, or asks without reading; authentication that takes too long |
//! | 4400 | a message that the protocol does not know; binary |
//! | 4401 | `subscribe` before the acknowledgement |
//! | 4403 | a credential that is refused, or has expired meanwhile |
//! | 4406 | no subprotocol that is spoken here |
//! | 4408 | no `connection_init` in time |
//! | 4409 | `subscribe` with an id that is under way |
//! | 4429 | a second `connection_init` |
//!
//! A server that is full or shutting down answers the upgrade with 503 and `Retry-After`.

mod callers;
mod connection;
mod credential;
mod legacy;
mod message;
mod meter;
mod operations;
mod outbox;
mod protocol;
mod pulse;
mod signal;
mod transport_ws;
mod wire;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{
        FromRequestParts, State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
    http::{Extensions, HeaderMap, StatusCode, header::RETRY_AFTER, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::json;
use tokio::{sync::Semaphore, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, field};

pub use callers::Callers;

use self::{
    connection::Connection,
    legacy::Legacy,
    protocol::{Close, Credential, Protocol},
    transport_ws::TransportWs,
};
use super::remote;
use crate::platform::{auth::ClientAddress, config::HttpSettings, error::Code, graphql::engine::Engine};

/// What all sockets of a server share.
pub struct SocketState {
    engine: Engine,
    callers: Arc<dyn Callers>,
    settings: Arc<HttpSettings>,
    drain: CancellationToken,
    now: CancellationToken,
    tasks: TaskTracker,
    /// One permit a socket.
    room: Arc<Semaphore>,
}

impl SocketState {
    /// Sockets of the server. `drain` closes them, `now` drops them; `tasks` is done when they are gone.
    pub fn new(
        engine: Engine,
        callers: Arc<dyn Callers>,
        settings: Arc<HttpSettings>,
        [drain, now]: [CancellationToken; 2],
        tasks: TaskTracker,
    ) -> Self {
        let room = Arc::new(Semaphore::new(settings.socket_limit.min(Semaphore::MAX_PERMITS)));
        Self { engine, callers, settings, drain, now, tasks, room }
    }

    /// How many sockets are open.
    pub fn open(&self) -> usize {
        self.settings.socket_limit.saturating_sub(self.room.available_permits())
    }
}

/// What the connection of a request is known by.
#[derive(Debug, Clone, Default)]
pub struct Peer(pub Extensions);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.clone()))
    }
}

/// Answers a request to open a socket.
pub async fn upgrade(
    State(state): State<Arc<SocketState>>,
    Peer(extensions): Peer,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if state.drain.is_cancelled() {
        let problem = "the server is shutting down";
        return refuse("draining", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, problem);
    }
    let Ok(permit) = Arc::clone(&state.room).try_acquire_owned() else {
        tracing::debug!(limit = state.settings.socket_limit, "refused a WebSocket: the server is full");
        let problem = "the server has no room for another WebSocket";
        return refuse("full", StatusCode::SERVICE_UNAVAILABLE, Code::RateLimited, problem);
    };
    let upgrade = wire::bounded(upgrade, &state.settings).protocols([transport_ws::NAME, legacy::NAME]);
    let protocol: Option<Box<dyn Protocol>> = match upgrade.selected_protocol().map(axum::http::HeaderValue::as_bytes) {
        Some(name) if name == transport_ws::NAME.as_bytes() => Some(Box::new(TransportWs::new())),
        Some(_) => Some(Box::new(Legacy::new())),
        None => None,
    };
    let credential = credential::from_headers(&headers);
    let address = remote::address(&extensions, &headers, &state.settings.trusted_proxies);
    // Counted from here: a shutdown also waits for sockets whose upgrade is still under way.
    let task = state.tasks.token();
    // Not an async closure, and what it returns holds only a box: an idle socket costs what its task's future does.
    upgrade.on_upgrade(move |socket| {
        let running = serve(socket, protocol, &state, (credential, address));
        let now = state.now.clone();
        async move {
            now.run_until_cancelled_owned(running).await;
            drop((permit, task));
        }
    })
}

fn serve(
    socket: WebSocket,
    protocol: Option<Box<dyn Protocol>>,
    state: &SocketState,
    from: (Credential, Option<ClientAddress>),
) -> BoxFuture<'static, ()> {
    let Some(protocol) = protocol else { return turn_away(socket, Close::unacceptable()).boxed() };
    let span = tracing::info_span!("websocket", protocol = protocol.name(), role = field::Empty);
    let connection = Box::new(Connection::new(socket, protocol, state, from));
    connection.run().instrument(span).boxed()
}

/// Closes a socket that speaks no protocol, as clients of both protocols expect to hear it.
async fn turn_away(mut socket: WebSocket, close: Close) {
    let meter = meter::Meter::new("none");
    meter.closed(close.code);
    let frame = Message::Close(Some(CloseFrame { code: close.code, reason: close.reason.into() }));
    let handshake = async {
        if socket.send(frame).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // Late or not, the socket is dropped now.
    let _ = timeout(pulse::CLOSE_GRACE, handshake).await;
}

fn refuse(reason: &'static str, status: StatusCode, code: Code, problem: &str) -> Response {
    meter::refused(reason);
    let body = Json(json!({ "errors": [message::error(code, problem)] }));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        const RETRY: Duration = Duration::from_secs(1);
        return (status, [(RETRY_AFTER, RETRY.as_secs().to_string())], body).into_response();
    }
    (status, body).into_response()
}
