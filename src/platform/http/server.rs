//! The accept loop: HTTP/1.1 and HTTP/2 over plain TCP, with time limits against slow and silent clients, and a
//! shutdown in two stages.
//!
//! ```text
//! running ──drain──► accept nothing; each connection finishes its request and closes;
//!                    WebSockets close themselves (they watch the same token)
//!             └─ all closed, or drain_timeout, or ──now──► drop the remaining connections
//! ```
//! Every connection runs as a task of [`Shutdown::tasks`]. So must everything that outlives its request, such as a
//! WebSocket. TLS is left to a proxy in front of the server.
//!
//! Bounds: the number of connections (`places.rs`), the bytes of a request's head, and the responses that a client does not
//! take (`unsent.rs`).

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, StatusCode, Version, header},
};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use metrics::counter;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::{
    negotiation,
    places::{PROBATION, Place, Places},
    received::Counted,
    response,
    unsent::Unsent,
};
use crate::platform::config::HttpSettings;

/// Most concurrent HTTP/2 requests on one connection.
const CONCURRENT_STREAMS: u32 = 128;
/// Bytes of one HTTP/2 response that hyper holds besides the response itself.
const STREAM_BUFFER: usize = 64 * 1_024;
/// Pause after a failed accept. The usual cause is too many open files, for which only waiting helps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long to wait for tasks to end after their connections are dropped.
const DROP_TIME: Duration = Duration::from_secs(1);
/// What a connection on probation may ask for without a credential.
const HEALTH_PATHS: [&str; 3] = ["/live", "/ready", "/metrics"];

/// Stops the server in two stages. Clones share the same tokens.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// First stage: accept no connections, finish open requests.
    pub drain: CancellationToken,
    /// Second stage: drop all connections.
    pub now: CancellationToken,
    /// The tasks that the first stage waits for.
    pub tasks: TaskTracker,
}

/// Serves `router` on `listener` until `shutdown` stops it. Returns the number of connections that were dropped.
pub async fn serve(listener: TcpListener, router: Router, settings: &HttpSettings, shutdown: Shutdown) -> usize {
    let mut builder = Builder::new(TokioExecutor::new());
    // Bounds the head of a request, and what is buffered of a response.
    let header_limit = settings.header_limit;
    builder.http1().timer(TokioTimer::new()).header_read_timeout(settings.read_timeout).max_buf_size(header_limit);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(CONCURRENT_STREAMS)
        .max_header_list_size(u32::try_from(header_limit).unwrap_or(u32::MAX))
        .max_send_buf_size(STREAM_BUFFER)
        .keep_alive_interval(settings.ping_every)
        .keep_alive_timeout(settings.silence_limit);
    let stop = shutdown.now.child_token();
    let connections = Arc::new(Connections {
        builder,
        router,
        first_request_within: settings.read_timeout,
        places: Places::new(settings),
        unsent: Unsent::new(settings),
        drain: shutdown.drain.clone(),
        stop: stop.clone(),
    });
    tokio::select! {
        () = accept(&listener, &connections, &shutdown.tasks) => {}
        () = super::metrics::upkeep() => {}
        () = shutdown.drain.cancelled() => {}
        () = shutdown.now.cancelled() => {}
    }
    // Closes the port: the system refuses connections from here on.
    drop(listener);
    shutdown.drain.cancel();
    shutdown.tasks.close();
    tokio::select! {
        () = shutdown.tasks.wait() => {}
        () = sleep(settings.drain_timeout) => {}
        () = shutdown.now.cancelled() => {}
    }
    let dropped = shutdown.tasks.len();
    stop.cancel();
    if dropped > 0 {
        tracing::warn!(connections = dropped, "dropped connections that did not finish in time");
        let _ = timeout(DROP_TIME, shutdown.tasks.wait()).await;
    }
    dropped
}

struct Connections {
    builder: Builder<TokioExecutor>,
    router: Router,
    first_request_within: Duration,
    places: Places,
    unsent: Arc<Unsent>,
    drain: CancellationToken,
    stop: CancellationToken,
}

async fn accept(listener: &TcpListener, connections: &Arc<Connections>, tasks: &TaskTracker) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failing = false;
                let connections = Arc::clone(connections);
                if let Some(place) = connections.places.enter(peer.ip()) {
                    tasks.spawn(connections.run(stream, peer, place));
                }
            }
            // The client disconnected before the connection was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // One log line for a series of failures.
                if !failing {
                    tracing::error!(%error, "cannot accept connections");
                }
                failing = true;
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Connections {
    /// Serves one connection until it ends or is upgraded.
    async fn run(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, place: Arc<Place>) {
        // Responses are written in large portions, so waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let (stream, received) = Counted::new(stream);
        let unsent = self.unsent.connection();
        let has_request = Arc::new(AtomicBool::new(false));
        let service = service_fn(|mut request: Request<Incoming>| {
            has_request.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(ConnectInfo(peer));
            let admitted = place.is_open() || passes_probation(&request);
            request.extensions_mut().insert(Arc::clone(&place));
            request.extensions_mut().insert(Arc::clone(&received));
            let (router, unsent, place) = (self.router.clone(), Arc::clone(&unsent), Arc::clone(&place));
            async move {
                let is_http_2 = request.version() == Version::HTTP_2;
                let mut response =
                    if admitted { router.oneshot(request.map(Body::new)).await? } else { response::full() };
                // One response is all that a connection on probation gets, so that the next one can have its turn.
                if !is_http_2 && !place.is_open() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(unsent.send(response))
            }
        });
        let connection = self.builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // hyper's own limit starts when the protocol is known. This one also ends a connection without any bytes.
        let silence = sleep(self.first_request_within);
        let (given_up, probation) = (unsent.given_up(), sleep(PROBATION));
        tokio::pin!(silence, given_up, probation);
        let (mut checked, mut draining, mut on_probation) = (false, false, !place.is_open());
        loop {
            tokio::select! {
                // Errors here are the client's: it disconnected or did not send HTTP.
                _ = connection.as_mut() => return,
                () = &mut silence, if !checked => {
                    checked = true;
                    if !has_request.load(Ordering::Relaxed) {
                        return;
                    }
                }
                () = &mut probation, if on_probation => {
                    on_probation = false;
                    if !place.is_open() {
                        return;
                    }
                }
                reason = &mut given_up => {
                    tracing::info!(reason, "closing a connection: the client does not take its responses");
                    counter!("switchboard_http_connections_closed_total", "reason" => reason).increment(1);
                    return;
                }
                () = self.drain.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = self.stop.cancelled() => return,
            }
        }
    }
}

/// True for a request that a connection on probation may send.
fn passes_probation(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    HEALTH_PATHS.contains(&request.uri().path())
        || headers.contains_key(header::AUTHORIZATION)
        || negotiation::has_token(headers, header::UPGRADE, "websocket")
}
