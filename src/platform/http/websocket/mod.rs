//! GraphQL over WebSocket: `graphql-transport-ws`, and the older `graphql-ws` for deployed clients.
//!
//! # Structure
//!
//! | file | what |
//! | --- | --- |
//! | `transport_ws.rs`, `legacy.rs` | one protocol each, as a state machine over text (`protocol.rs`) |
//! | `message.rs`, `credential.rs` | parse and write messages; pure functions |
//! | `connection/` | the one task of a socket: handles all events, one at a time |
//! | `operations.rs` | the open streams, by operation id, polled inside that task |
//! | `wake_flag.rs` | which of the task's sources has woken it |
//! | `socket.rs`, `send_queue.rs` | the socket, and the bounded queue of messages to send |
//! | `deadlines.rs` | all deadlines of a socket, as a function of the time |
//! | `authentication.rs` | the caller that a credential proves, and when it expires |
//!
//! # Guarantees
//!
//! - **A slow reader slows down only itself.** While its send queue is full, its operations are not polled. The server
//!   still reads from it, so a `complete`, a pong or a close is handled. A client that takes nothing from a full queue
//!   within the send timeout is closed with 1013, and resumes with `after:`.
//! - **A busy stream does not starve others.** Streams take turns with each other and with the client's messages. A
//!   slow query is a stream without an item yet, so it blocks nothing.
//! - **Everything is bounded**: sockets, operations, message sizes in and out, queued messages, messages in a second,
//!   fragments of a message, and the time for the init, for silence, for closing, and for a socket without a credential to run nothing.
//! - **An idle socket is small**: one task, a read buffer of 512 bytes, and a write buffer as large as its largest
//!   message was; 9.1 KiB of memory with a subscription (PSS, measured with 5,000 sockets by `make bench`).
//! - **Streams end with their reason to run**: a `complete`, an expired credential or a lost connection drops them at
//!   once.
//! - **A panic ends one operation**, with an `error`.
//!
//! # Close codes
//!
//! They follow what clients do: graphql-ws reconnects after 1001, 1006, 1012, 1013, 4403 and 4408, and gives up after
//! others.
//!
//! | code | when |
//! | --- | --- |
//! | 1001 | the server is shutting down; open queries and mutations got time to finish. Also a socket without a credential that runs nothing |
//! | 1002, 1007, 1009 | invalid frames, text that is not UTF-8, a message over the body limit |
//! | 1013 | a reader that is too slow, or sends without reading, or sends too many messages; authentication that takes too long; no place for this socket |
//! | 4400 | a message that the protocol does not define; binary; a wrong `visitor` in the URL |
//! | 4401 | `subscribe` before the acknowledgement |
//! | 4403 | the credential is refused, or has expired or been revoked since; a web page of another company's origin |
//! | 4406 | no subprotocol that this server supports |
//! | 4408 | no `connection_init` in time |
//! | 4409 | `subscribe` with the id of an open operation |
//! | 4429 | a second `connection_init` |
//!
//! A server that is full or shutting down refuses the upgrade with 503 and `Retry-After`, also for an address with too many
//! sockets without a credential. A web page that may not call gets 403.

mod authentication;
mod connection;
mod credential;
mod deadlines;
mod legacy;
mod message;
mod operations;
mod protocol;
mod send_queue;
mod socket;
mod socket_metrics;
mod state;
mod transport_ws;
mod wake_flag;

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{
        FromRequestParts, State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
    http::{Extensions, HeaderMap, StatusCode, Uri, header::RETRY_AFTER, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::json;
use tokio::time::timeout;
use tracing::{Instrument, field};

pub use self::{authentication::Authentication, state::SocketState};

use self::{
    connection::Connection,
    legacy::Legacy,
    protocol::{Close, Credential, Protocol},
    transport_ws::TransportWs,
};
use super::{client_address, cors::Page, places::Place, received::Received};
use crate::platform::{
    auth::{Caller, ClientAddress, VisitorKey},
    error::Code,
};

/// The request's extensions, which hold the remote address of its connection.
#[derive(Debug, Clone, Default)]
pub struct Peer(pub Extensions);

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.clone()))
    }
}

/// Responds to an upgrade request, and serves the socket if it is accepted.
pub async fn upgrade(
    State(state): State<Arc<SocketState>>,
    Peer(extensions): Peer,
    uri: Uri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if state.drain.is_cancelled() {
        let problem = "the server is shutting down";
        return refuse("draining", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, problem);
    }
    let page = Page::of(&headers);
    if let Some(origins) = &state.origins
        && let Err(error) = origins.admit(page.as_ref(), &Caller::Anonymous).await
    {
        return refuse("origin", StatusCode::FORBIDDEN, error.code(), error.message());
    }
    let address = client_address::find(&extensions, &headers, &state.settings.trusted_proxies);
    let place = extensions.get::<Arc<Place>>().cloned();
    if place.as_ref().is_some_and(|place| !place.upgrade(address.map(|address| address.0))) {
        let problem = "too many connections without a credential from this address, or altogether";
        return refuse("address", StatusCode::SERVICE_UNAVAILABLE, Code::RateLimited, problem);
    }
    let Ok(permit) = Arc::clone(&state.slots).try_acquire_owned() else {
        tracing::debug!(limit = state.settings.socket_limit, "refused a WebSocket: the server is full");
        let problem = "the server has no room for another WebSocket";
        return refuse("full", StatusCode::SERVICE_UNAVAILABLE, Code::RateLimited, problem);
    };
    let upgrade = socket::bounded(upgrade, &state.settings).protocols([transport_ws::NAME, legacy::NAME]);
    let protocol: Option<Box<dyn Protocol>> = match upgrade.selected_protocol().map(axum::http::HeaderValue::as_bytes) {
        Some(name) if name == transport_ws::NAME.as_bytes() => Some(Box::new(TransportWs::new())),
        Some(_) => Some(Box::new(Legacy::new())),
        None => None,
    };
    let (key, wrong) = match VisitorKey::in_query(uri.query()) {
        Ok(key) => (key, None),
        Err(error) => (None, Some(Close::new(4400, error.message()))),
    };
    let received = extensions.get::<Arc<Received>>().cloned();
    let client = Client { header: credential::from_headers(&headers), address, page, key, place, received };
    // The request's extensions hold the place too, and must not outlive the socket.
    drop(extensions);
    // Taken before the upgrade completes, so that a shutdown also waits for sockets that are being upgraded.
    let task = state.tasks.token();
    // The task's future holds only a box of the connection, because its size is memory of every idle socket. An async
    // closure would hold the captured values a second time.
    upgrade.on_upgrade(move |socket| {
        let running = match wrong {
            Some(close) => close_at_once(socket, close).boxed(),
            None => serve(socket, protocol, &state, client),
        };
        let now = state.now.clone();
        async move {
            now.run_until_cancelled_owned(running).await;
            drop((permit, task));
        }
    })
}

/// Who opens a socket, as the upgrade request shows.
struct Client {
    /// The credential of the request, used when the init has none.
    header: Credential,
    address: Option<ClientAddress>,
    /// The web page that opens it.
    page: Option<Page>,
    /// The key of its browser.
    key: Option<VisitorKey>,
    /// The place of its connection among those of this server; the socket keeps it.
    place: Option<Arc<Place>>,
    /// What its connection has received.
    received: Option<Arc<Received>>,
}

fn serve(
    socket: WebSocket,
    protocol: Option<Box<dyn Protocol>>,
    state: &SocketState,
    client: Client,
) -> BoxFuture<'static, ()> {
    let Some(protocol) = protocol else { return close_at_once(socket, Close::unacceptable()).boxed() };
    let span = tracing::info_span!("websocket", protocol = protocol.name(), role = field::Empty);
    let connection = Box::new(Connection::new(socket, protocol, state, client));
    connection.run().instrument(span).boxed()
}

/// Closes a socket without a supported subprotocol. Clients look for a close code, not for a failed upgrade.
async fn close_at_once(mut socket: WebSocket, close: Close) {
    let metrics = socket_metrics::SocketMetrics::new("none");
    metrics.closed(close.code);
    let frame = Message::Close(Some(CloseFrame { code: close.code, reason: close.reason.into() }));
    let handshake = async {
        if socket.send(frame).await.is_ok() {
            while let Some(Ok(_)) = socket.recv().await {}
        }
    };
    // Whether or not the handshake completed in time, the socket is dropped.
    let _ = timeout(deadlines::CLOSE_GRACE, handshake).await;
}

fn refuse(reason: &'static str, status: StatusCode, code: Code, problem: &str) -> Response {
    socket_metrics::refused(reason);
    let body = Json(json!({ "errors": [message::error(code, problem)] }));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        const RETRY: Duration = Duration::from_secs(1);
        return (status, [(RETRY_AFTER, RETRY.as_secs().to_string())], body).into_response();
    }
    (status, body).into_response()
}
