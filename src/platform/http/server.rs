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

use axum::{Router, body::Body, extract::ConnectInfo, response::Response};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use crate::platform::config::HttpSettings;

/// Most concurrent HTTP/2 requests on one connection.
const CONCURRENT_STREAMS: u32 = 128;
/// Pause after a failed accept. The usual cause is too many open files, for which only waiting helps.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// How long to wait for tasks to end after their connections are dropped.
const DROP_TIME: Duration = Duration::from_secs(1);

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
    builder.http1().timer(TokioTimer::new()).header_read_timeout(settings.read_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(CONCURRENT_STREAMS)
        .keep_alive_interval(settings.ping_every)
        .keep_alive_timeout(settings.silence_limit);
    let stop = shutdown.now.child_token();
    let connections = Arc::new(Connections {
        builder,
        router,
        first_request_within: settings.read_timeout,
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
    drain: CancellationToken,
    stop: CancellationToken,
}

async fn accept(listener: &TcpListener, connections: &Arc<Connections>, tasks: &TaskTracker) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failing = false;
                tasks.spawn(Arc::clone(connections).run(stream, peer));
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
    async fn run(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Responses are written whole, so waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let has_request = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request| {
            has_request.store(true, Ordering::Relaxed);
            respond(self.router.clone(), request, peer)
        });
        let connection = self.builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // hyper's own limit starts when the protocol is known. This one also ends a connection without any bytes.
        let silence = sleep(self.first_request_within);
        tokio::pin!(silence);
        let (mut checked, mut draining) = (false, false);
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
                () = self.drain.cancelled(), if !draining => {
                    draining = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = self.stop.cancelled() => return,
            }
        }
    }
}

async fn respond(router: Router, request: Request<Incoming>, peer: SocketAddr) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    router.oneshot(request).await
}
