//! The accept loop: HTTP/1.1 and HTTP/2 over plain TCP, with the time limits that keep a slow or silent client from
//! holding a connection, and a shutdown in two stages.
//!
//! ```text
//! running ──drain──► stop accepting; each connection finishes its request and closes,
//!                    WebSockets close themselves (they watch the same token)
//!             └─ all closed, or drain_timeout, or ──now──► drop what is left
//! ```
//! Every connection runs as a task of [`Shutdown::tasks`]; so must everything that lives on after its request, such
//! as a WebSocket. TLS is the business of a proxy in front.

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

/// HTTP/2 requests under way on one connection.
const CONCURRENT_STREAMS: u32 = 128;
/// Pause after a failed accept: most often too many open files, which time mends and a busy loop does not.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Dropped tasks get this long to be gone.
const DROP_TIME: Duration = Duration::from_secs(1);

/// How the server is told to stop. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// First stage: accept nothing new, finish what runs.
    pub drain: CancellationToken,
    /// Second stage: stop at once.
    pub now: CancellationToken,
    /// Everything that the first stage waits for.
    pub tasks: TaskTracker,
}

/// Serves `router` on `listener` until it is told to stop; returns how many tasks had to be dropped.
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
    // From here on the system refuses new connections.
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
            // That one connection went away before it was taken.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // One line per spell, not one per try.
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
    /// One connection, to its end or to the upgrade that takes it over.
    async fn run(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Answers are written whole: waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let asked = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request| {
            asked.store(true, Ordering::Relaxed);
            respond(self.router.clone(), request, peer)
        });
        let connection = self.builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // hyper's own limit starts once it knows the protocol; this one also ends a client that says nothing at all.
        let silence = sleep(self.first_request_within);
        tokio::pin!(silence);
        let (mut judged, mut draining) = (false, false);
        loop {
            tokio::select! {
                // Errors here are the client's: it broke off, or did not speak HTTP.
                _ = connection.as_mut() => return,
                () = &mut silence, if !judged => {
                    judged = true;
                    if !asked.load(Ordering::Relaxed) {
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
