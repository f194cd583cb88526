//! Responses that clients have not taken yet: counted, and given up when nothing of them moves.
//!
//! ```text
//! response ─► portions of 64 KiB ─► hyper ─► socket
//!    │             └ each notes the time when the connection takes bytes of it
//!    └ counted from here until its last portion is sent or dropped
//! ```
//! A client that never reads would hold its responses in this server's memory for ever: hyper waits for the socket, or with
//! HTTP/2 for the client's flow control, without a limit. So:
//!
//! - Every response of every connection notes when bytes of it last moved. [`ConnectionUnsent::given_up`] completes when
//!   one has not moved for the send timeout, and the connection's task then closes the connection. Also with HTTP/2 one
//!   stuck response is enough, because a client could keep the others moving.
//! - A connection holds at most a number of bytes; the next response is `RATE_LIMITED`.
//! - All connections together hold at most a number of bytes. Beyond it the connections whose responses have been stuck
//!   longest are closed, so that clients that read are served while others do not.
//!
//! What the kernel has taken is not counted.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::{StatusCode, header},
    response::Response,
};
use hyper::body::{Body as HttpBody, Buf, Frame, SizeHint};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{negotiation::ResponseType, response};
use crate::platform::{config::HttpSettings, limit};

/// Bytes of one portion: what hyper holds at most of a response besides the response itself.
const PORTION: usize = 64 * 1_024;
/// A connection that moved less long ago is not closed for others. Shorter than any pause of a client that reads.
const STUCK: Duration = Duration::from_secs(1);
/// When a client should repeat a request whose response found no room.
const RETRY: Duration = Duration::from_secs(1);

/// The responses of all connections.
pub(super) struct Unsent {
    total_limit: usize,
    connection_limit: usize,
    send_timeout: Duration,
    started: Instant,
    bytes: AtomicUsize,
    connections: Mutex<HashMap<u64, Weak<ConnectionUnsent>>>,
    numbers: AtomicU64,
}

/// The responses of one connection.
pub(super) struct ConnectionUnsent {
    server: Arc<Unsent>,
    number: u64,
    bytes: AtomicUsize,
    /// For each response when bytes of it last moved, in milliseconds since the server started.
    moved: Mutex<HashMap<u64, Arc<AtomicU64>>>,
    /// Cancelled to close it for others.
    shed: CancellationToken,
}

impl Unsent {
    pub(super) fn new(settings: &HttpSettings) -> Arc<Self> {
        Arc::new(Self {
            total_limit: settings.unsent_total,
            connection_limit: settings.unsent_limit,
            send_timeout: settings.send_timeout,
            started: Instant::now(),
            bytes: AtomicUsize::new(0),
            connections: Mutex::default(),
            numbers: AtomicU64::new(0),
        })
    }

    /// The responses of a new connection.
    pub(super) fn connection(self: &Arc<Self>) -> Arc<ConnectionUnsent> {
        let number = self.number();
        let connection = Arc::new(ConnectionUnsent {
            server: Arc::clone(self),
            number,
            bytes: AtomicUsize::new(0),
            moved: Mutex::default(),
            shed: CancellationToken::new(),
        });
        lock(&self.connections).insert(number, Arc::downgrade(&connection));
        connection
    }

    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Closes the connections that have been stuck longest until `excess` bytes become free. False if too few are stuck.
    fn shed(&self, mut excess: usize) -> bool {
        let now = self.now_ms();
        let connections: Vec<Arc<ConnectionUnsent>> =
            lock(&self.connections).values().filter_map(Weak::upgrade).collect();
        let mut stuck: Vec<_> = connections
            .into_iter()
            .filter_map(|connection| Some((connection.least_moved()?, connection)))
            .filter(|(moved, _)| u128::from(now.saturating_sub(*moved)) >= STUCK.as_millis())
            .collect();
        stuck.sort_by_key(|(moved, _)| *moved);
        for (_, connection) in stuck {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(connection.bytes.load(Ordering::Relaxed));
            connection.shed.cancel();
        }
        excess == 0
    }
}

impl ConnectionUnsent {
    /// The response as the connection sends it, or the error that replaces it because there is no room for it.
    pub(super) fn send(self: &Arc<Self>, response: Response) -> Response<Outgoing> {
        let size = usize::try_from(response.body().size_hint().lower()).unwrap_or(usize::MAX);
        if size == 0 {
            return response.map(|body| Outgoing { body, rest: Bytes::new(), sending: None });
        }
        if self.has_room(size) {
            let sending = Some(Sending::begin(self, size));
            return response.map(|body| Outgoing { body, rest: Bytes::new(), sending });
        }
        let error = limit::refused("responses", "too many unread responses, read them and retry", RETRY);
        let (mut head, body) = response::error(ResponseType::Json, StatusCode::TOO_MANY_REQUESTS, error).into_parts();
        // The headers of the middleware stay: CORS, the request's id.
        let (replaced, _) = response.into_parts();
        for (name, value) in &replaced.headers {
            if name != header::CONTENT_LENGTH && !head.headers.contains_key(name) {
                head.headers.append(name, value.clone());
            }
        }
        Response::from_parts(head, Outgoing { body, rest: Bytes::new(), sending: None })
    }

    fn has_room(&self, size: usize) -> bool {
        let held = self.bytes.load(Ordering::Relaxed);
        if held > 0 && held.saturating_add(size) > self.server.connection_limit {
            return false;
        }
        let total = self.server.bytes.load(Ordering::Relaxed).saturating_add(size);
        let excess = total.saturating_sub(self.server.total_limit);
        excess == 0 || self.server.shed(excess)
    }

    /// When bytes last moved of the response that moved longest ago.
    fn least_moved(&self) -> Option<u64> {
        lock(&self.moved).values().map(|moved| moved.load(Ordering::Relaxed)).min()
    }

    /// Completes when the connection must be closed, with the reason: `stuck` for a client that takes nothing, `shed` for
    /// one that was closed because all together hold too much.
    pub(super) async fn given_up(&self) -> &'static str {
        let timeout = self.server.send_timeout;
        let stuck = async {
            loop {
                let unmoved = self
                    .least_moved()
                    .map_or(Duration::ZERO, |moved| Duration::from_millis(self.server.now_ms().saturating_sub(moved)));
                let left = timeout.saturating_sub(unmoved);
                if left.is_zero() {
                    return;
                }
                sleep(left).await;
            }
        };
        tokio::select! {
            () = stuck => "stuck",
            () = self.shed.cancelled() => "shed",
        }
    }
}

impl Drop for ConnectionUnsent {
    fn drop(&mut self) {
        lock(&self.server.connections).remove(&self.number);
    }
}

/// A response that is being sent. It is counted until this value, which all of its portions share, is dropped.
struct Sending {
    connection: Arc<ConnectionUnsent>,
    number: u64,
    size: usize,
    moved: Arc<AtomicU64>,
}

impl Sending {
    fn begin(connection: &Arc<ConnectionUnsent>, size: usize) -> Arc<Self> {
        let server = &connection.server;
        let moved = Arc::new(AtomicU64::new(server.now_ms()));
        let number = server.number();
        server.bytes.fetch_add(size, Ordering::Relaxed);
        connection.bytes.fetch_add(size, Ordering::Relaxed);
        lock(&connection.moved).insert(number, Arc::clone(&moved));
        Arc::new(Self { connection: Arc::clone(connection), number, size, moved })
    }

    fn moved(&self) {
        self.moved.store(self.connection.server.now_ms(), Ordering::Relaxed);
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        lock(&self.connection.moved).remove(&self.number);
        self.connection.bytes.fetch_sub(self.size, Ordering::Relaxed);
        self.connection.server.bytes.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// A response's body, in portions.
pub(super) struct Outgoing {
    body: Body,
    /// What is left of the body's last frame.
    rest: Bytes,
    /// `None` for an empty body.
    sending: Option<Arc<Sending>>,
}

impl HttpBody for Outgoing {
    type Data = Portion;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Portion>, axum::Error>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)).transpose()? {
                None => return Poll::Ready(None),
                Some(frame) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => {
                        let frame = frame.map_data(|bytes| Portion { bytes, sending: None });
                        return Poll::Ready(Some(Ok(frame)));
                    }
                },
            }
        }
        let size = self.rest.len().min(PORTION);
        let bytes = self.rest.split_to(size);
        Poll::Ready(Some(Ok(Frame::data(Portion { bytes, sending: self.sending.clone() }))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

/// A part of a response, of which hyper takes bytes as the connection has room for them.
pub(super) struct Portion {
    bytes: Bytes,
    sending: Option<Arc<Sending>>,
}

impl Buf for Portion {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(sending) = &self.sending {
            sending.moved();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
