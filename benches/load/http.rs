//! An HTTP client that uses little CPU, and the closed loop that drives a server with many of them.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use futures_util::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Duration,
};

use crate::{
    Result,
    process::{Server, watched},
    report::Run,
};

/// Returns the next request; `None` when there are no more.
pub(crate) type Requests = Arc<dyn Fn() -> Option<Vec<u8>> + Send + Sync>;

/// What one client does until a time: the times of what it measures.
pub(crate) type Loop = Arc<dyn Fn(Client, Instant) -> BoxFuture<'static, Result<Vec<Duration>>> + Send + Sync>;

/// A POST of JSON on a persistent connection.
pub(crate) fn post(path: &str, token: &str, body: &str) -> Vec<u8> {
    let authorization = if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\naccept: application/json\r\n{authorization}content-type: \
         application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A GET on a persistent connection.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes()
}

/// One persistent connection; sends one request at a time.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4_096) })
    }

    /// Sends a request and returns the body of the response. Any status but 200 and any GraphQL error is an error.
    pub(crate) async fn call(&mut self, request: &[u8]) -> Result<&[u8]> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let (head, end) = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if let Some(whole) = whole(&self.buffer)? {
                break whole;
            }
        };
        let body = &self.buffer[head..end];
        if &self.buffer[9..12] != b"200" || body.windows(9).any(|word| word == b"\"errors\":") {
            return Err(format!("a request failed: {}", String::from_utf8_lossy(&self.buffer)).into());
        }
        Ok(body)
    }
}

/// The bounds of the body; `None` while the response is incomplete.
fn whole(buffer: &[u8]) -> Result<Option<(usize, usize)>> {
    let Some(head) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map(|at| at + 4) else { return Ok(None) };
    let text = std::str::from_utf8(&buffer[..head])?;
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            let end = head + value.trim().parse::<usize>()?;
            return Ok((buffer.len() >= end).then_some((head, end)));
        }
    }
    Ok(buffer.ends_with(b"0\r\n\r\n").then_some((head, buffer.len())))
}

/// Runs `connections` clients for `limit` or until there are no more requests. Each sends its next request when it has
/// the response to the last.
pub(crate) async fn drive(server: &Server, connections: usize, limit: Duration, requests: &Requests) -> Result<Run> {
    let requests = Arc::clone(requests);
    let sends: Loop = Arc::new(move |mut client, until| {
        let requests = Arc::clone(&requests);
        Box::pin(async move {
            let mut latencies = Vec::new();
            while Instant::now() < until
                && let Some(request) = requests()
            {
                let sent = Instant::now();
                client.call(&request).await?;
                latencies.push(sent.elapsed());
            }
            Ok(latencies)
        })
    });
    repeat(server, connections, limit, &sends).await
}

/// Runs `connections` clients for `limit`, each doing the same.
pub(crate) async fn repeat(server: &Server, connections: usize, limit: Duration, each: &Loop) -> Result<Run> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::connect(server.address).await?);
    }
    let work = async {
        let until = Instant::now() + limit;
        let tasks: Vec<_> = clients.into_iter().map(|client| tokio::spawn(each(client, until))).collect();
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await??);
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(latencies)
    };
    let (latencies, took, cpu) = watched(server, work).await?;
    Ok(Run::new(latencies?, took, Some(cpu)))
}
