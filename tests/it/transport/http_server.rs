//! The accept loop alone, with stand-in routes: protocols, time limits, shutdown.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, WebSocketUpgrade},
    routing,
};
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use switchboard::platform::{
    auth::install_tls_provider,
    config::HttpSettings,
    http::{Shutdown, serve},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout},
};

/// Longer than any step of these tests takes unless it hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    http: HttpSettings,
}

/// The settings with these command-line flags.
pub(crate) fn settings(flags: &[&str]) -> HttpSettings {
    Flags::parse_from([&["test"], flags].concat()).http
}

pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) shutdown: Shutdown,
    /// Notified when a request to `/wait` has started.
    begun: Arc<Notify>,
    /// Lets that request end.
    go_on: Arc<Notify>,
    served: JoinHandle<usize>,
}

impl Server {
    pub(super) async fn start(flags: &[&str]) -> Self {
        let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let shutdown = Shutdown::default();
        let waits = (Arc::clone(&begun), Arc::clone(&go_on));
        let tasks = shutdown.tasks.clone();
        let echo = async move |upgrade: WebSocketUpgrade| {
            let tasks = tasks.clone();
            upgrade.on_upgrade(move |mut socket| {
                tasks.track_future(async move {
                    while let Some(Ok(message)) = socket.next().await {
                        if socket.send(message).await.is_err() {
                            break;
                        }
                    }
                })
            })
        };
        let large = async |Path(bytes): Path<usize>| "x".repeat(bytes);
        let router = Router::new()
            .route("/", routing::get(async || "hello"))
            .route("/large/{bytes}", routing::get(large))
            .route("/socket", routing::get(echo))
            .route(
                "/wait",
                routing::get(async move || {
                    waits.0.notify_one();
                    waits.1.notified().await;
                    "waited"
                }),
            );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (settings, stop) = (settings(flags), shutdown.clone());
        let served = tokio::spawn(async move { serve(listener, router, &settings, stop).await });
        Self { address, shutdown, begun, go_on, served }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn ended(self) -> usize {
        timeout(PATIENCE, self.served).await.expect("the server stops").unwrap()
    }
}

/// Reads until the server closes the connection.
pub(super) async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset closes the connection too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn one_port_serves_http_1_http_2_and_websockets() {
    install_tls_provider();
    let server = Server::start(&[]).await;
    let url = format!("http://{}/", server.address);
    let first = reqwest::get(&url).await.unwrap();
    assert_eq!((first.version(), &*first.text().await.unwrap()), (reqwest::Version::HTTP_11, "hello"));
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let second = client.get(&url).send().await.unwrap();
    assert_eq!((second.version(), &*second.text().await.unwrap()), (reqwest::Version::HTTP_2, "hello"));
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/socket", server.address)).await.unwrap();
    socket.send("ping".into()).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().to_text().unwrap(), "ping");
}

#[tokio::test]
async fn clients_that_send_no_complete_request_in_time_are_dropped() {
    let server = Server::start(&["--read-timeout", "200ms"]).await;
    let started = Instant::now();
    for sent in ["", "PRI * HT", "GET / HTTP/1.1\r\nhost: x\r\n", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut stream = server.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let response = rest(&mut stream).await;
        assert_eq!(response.contains("hello"), sent.ends_with("\r\n\r\n"), "{sent:?}: {response}");
    }
    assert!(started.elapsed() >= Duration::from_millis(600), "every client had the whole time");
}

#[tokio::test]
async fn a_request_head_over_the_limit_is_refused_before_it_is_complete() {
    let server = Server::start(&["--header-limit", "16384"]).await;
    let mut stream = server.connect().await;
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n", "y".repeat(380_000));
    // The server may close while it is being sent.
    let _ = stream.write_all(large.as_bytes()).await;
    let response = rest(&mut stream).await;
    assert!(response.is_empty() || response.starts_with("HTTP/1.1 431"), "{response}");
    let mut stream = server.connect().await;
    let fits = format!("GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-large: {}\r\n\r\n", "y".repeat(15_000));
    stream.write_all(fits.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.ends_with("hello"));

    install_tls_provider();
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for (bytes, status) in [(10_000, Some(200)), (20_000, None)] {
        let request = client.get(format!("http://{}/", server.address)).header("x-large", "y".repeat(bytes));
        let response = request.send().await;
        let got = response.as_ref().ok().map(|response| response.status().as_u16()).filter(|status| *status < 400);
        assert_eq!(got, status, "{response:?}");
    }
}

#[tokio::test]
async fn a_drain_finishes_open_requests_and_accepts_no_connections() {
    let server = Server::start(&[]).await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(idle.read(&mut [0; 1_024]).await.unwrap() > 0);
    let mut busy = server.connect().await;
    busy.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    server.begun.notified().await;
    server.shutdown.drain.cancel();
    assert_eq!(rest(&mut idle).await, "", "an idle connection is closed");
    assert!(TcpStream::connect(server.address).await.is_err(), "the listener is closed");
    server.go_on.notify_one();
    assert!(rest(&mut busy).await.ends_with("waited"));
    assert_eq!(server.ended().await, 0);
}

#[tokio::test]
async fn the_second_stage_or_the_drain_timeout_drops_open_requests() {
    for flags in [["--drain-timeout", "10m"], ["--drain-timeout", "50ms"]] {
        let server = Server::start(&flags[..]).await;
        let mut busy = server.connect().await;
        busy.write_all(b"GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        server.begun.notified().await;
        server.shutdown.drain.cancel();
        if flags[1] == "10m" {
            server.shutdown.now.cancel();
        }
        assert_eq!(rest(&mut busy).await, "");
        assert_eq!(server.ended().await, 1);
    }
}
