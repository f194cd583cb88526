//! Clients that ask and do not read: what they hold is bounded, in bytes and in time.

use std::time::Duration;

use h2::client::SendRequest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::http_server::{PATIENCE, Server};

/// More than the kernel's buffers take.
const LARGE: usize = 16 * 1_024 * 1_024;

/// Waits until no connection of the server is left.
async fn all_closed(server: &Server) {
    server.shutdown.tasks.close();
    timeout(PATIENCE, server.shutdown.tasks.wait()).await.expect("the server closes the connections");
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

/// An HTTP/2 client that responds to pings and settings, and grants the server no byte of any response.
async fn grants_nothing(server: &Server) -> (SendRequest<&'static [u8]>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(server.address).await.unwrap();
    let mut builder = h2::client::Builder::new();
    let (send, connection) = builder.initial_window_size(0).handshake(stream).await.unwrap();
    (send.ready().await.unwrap(), tokio::spawn(connection))
}

async fn status(send: &mut SendRequest<&'static [u8]>, path: &str) -> (u16, h2::RecvStream) {
    let request = axum::http::Request::get(format!("http://x{path}")).body(()).unwrap();
    let (response, _) = send.send_request(request, true).unwrap();
    let response = timeout(PATIENCE, response).await.expect("a response").unwrap();
    (response.status().as_u16(), response.into_body())
}

#[tokio::test]
async fn an_http_1_client_that_reads_nothing_is_closed() {
    let server = Server::start(&["--send-timeout", "300ms"]).await;
    let mut clients = Vec::new();
    for asked in [get(&format!("/large/{LARGE}")), get("/large/100000").repeat(2_000)] {
        let mut client = server.connect().await;
        client.write_all(asked.as_bytes()).await.unwrap();
        clients.push(client);
    }
    all_closed(&server).await;
    drop(clients);
}

#[tokio::test]
async fn an_http_2_client_that_grants_nothing_is_closed_also_for_small_responses() {
    for path in [format!("/large/{LARGE}"), "/".to_owned()] {
        let server = Server::start(&["--send-timeout", "300ms"]).await;
        let (mut send, connection) = grants_nothing(&server).await;
        let (status, _body) = status(&mut send, &path).await;
        assert_eq!(status, 200);
        all_closed(&server).await;
        // It was alive all the time: its task ends because the server closed the connection.
        timeout(PATIENCE, connection).await.expect("closed").unwrap().ok();
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_the_whole_response() {
    let server = Server::start(&["--send-timeout", "1s"]).await;
    let mut client = server.connect().await;
    let asked = format!("GET /large/{LARGE} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    client.write_all(asked.as_bytes()).await.unwrap();
    let (mut part, mut taken) = (vec![0; 1_024 * 1_024], 0);
    loop {
        let count = timeout(PATIENCE, client.read(&mut part)).await.expect("more of it").unwrap();
        if count == 0 {
            break;
        }
        taken += count;
        // The time that a slow client takes for this part; altogether several times the send timeout.
        sleep(Duration::from_micros(count as u64 / 4)).await;
    }
    assert!(taken > LARGE, "{taken}");
}

#[tokio::test]
async fn a_connection_holds_a_bounded_number_of_bytes() {
    let server = Server::start(&["--unsent-limit", "1000000"]).await;
    let (mut send, _connection) = grants_nothing(&server).await;
    let mut bodies = Vec::new();
    for (path, expected) in [("/large/900000", 200), ("/large/90000", 200), ("/large/90000", 429)] {
        let (status, body) = status(&mut send, path).await;
        assert_eq!(status, expected);
        bodies.push(body);
    }
    // Another connection is not affected, and one response alone may be larger.
    let (mut other, _connection) = grants_nothing(&server).await;
    assert_eq!(status(&mut other, "/large/5000000").await.0, 200);
}

#[tokio::test]
async fn all_connections_hold_a_bounded_number_of_bytes_and_stuck_ones_make_room() {
    let server = Server::start(&["--unsent-total", "20000000", "--send-timeout", "10m"]).await;
    let (mut stuck, stuck_connection) = grants_nothing(&server).await;
    let (status_of_first, _body) = status(&mut stuck, &format!("/large/{LARGE}")).await;
    assert_eq!(status_of_first, 200);
    // As long as nobody is stuck long enough, whoever comes later is refused; then the stuck one makes room.
    let url = format!("http://{}/large/{LARGE}", server.address);
    let read = async {
        loop {
            let response = reqwest::get(&url).await.unwrap();
            match response.status().as_u16() {
                200 => return response.text().await.unwrap().len(),
                status => assert_eq!((status, &response.headers()["retry-after"]), (429, &"1".parse().unwrap())),
            }
        }
    };
    assert_eq!(timeout(PATIENCE, read).await.expect("room"), LARGE);
    timeout(PATIENCE, stuck_connection).await.expect("closed").unwrap().ok();
}
