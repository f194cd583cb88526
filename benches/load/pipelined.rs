//! Mutations over sockets, several of them under way on each: a page or a server that has a socket sends them there, and
//! does not wait for one reply before the next.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::json;

use crate::{
    Result,
    process::{Server, watched},
    report::Run,
    socket::{Socket, contains},
};

/// Returns the payload of the next `subscribe` message.
pub(crate) type Operations = Arc<dyn Fn() -> String + Send + Sync>;

/// Operations under way on one socket.
const UNDER_WAY: usize = 4;

/// A message of the server.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: Option<&'a str>,
}

/// Runs `sockets` clients for `limit`. Each sends its next operation when one of its operations is complete.
pub(crate) async fn drive(
    server: &Server,
    sockets: usize,
    limit: Duration,
    token: &str,
    operations: &Operations,
) -> Result<Run> {
    let mut opened = Vec::new();
    for _ in 0..sockets {
        opened.push(open(server, token).await?);
    }
    let work = async {
        let until = Instant::now() + limit;
        let clients = opened.into_iter().map(|socket| tokio::spawn(run(socket, until, Arc::clone(operations))));
        let mut latencies = Vec::new();
        for client in clients.collect::<Vec<_>>() {
            latencies.extend(client.await??);
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(latencies)
    };
    let (latencies, took, cpu) = watched(server, work).await?;
    Ok(Run::new(latencies?, took, Some(cpu)))
}

async fn open(server: &Server, token: &str) -> Result<Socket> {
    let mut socket = Socket::open(server.address, "/graphql").await?;
    socket.send(&json!({ "type": "connection_init", "payload": { "authToken": token } }).to_string()).await?;
    socket.until("connection_ack").await?;
    Ok(socket)
}

/// From an operation's message to its `complete`: the times of all of them.
async fn run(mut socket: Socket, until: Instant, operations: Operations) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    let mut sent = [Instant::now(); UNDER_WAY];
    for id in 0..UNDER_WAY {
        send(&mut socket, id, &operations).await?;
    }
    let mut under_way = UNDER_WAY;
    while under_way > 0 {
        let message = socket.next().await?;
        if contains(&message, "\"errors\"") {
            return Err(String::from_utf8_lossy(&message).into());
        }
        let Message { kind, id } = serde_json::from_slice(&message)?;
        match (kind, id) {
            ("next", _) => {}
            ("complete", Some(id)) => {
                let id: usize = id.parse()?;
                latencies.push(sent[id].elapsed());
                if Instant::now() < until {
                    sent[id] = Instant::now();
                    send(&mut socket, id, &operations).await?;
                } else {
                    under_way -= 1;
                }
            }
            _ => return Err(String::from_utf8_lossy(&message).into()),
        }
    }
    Ok(latencies)
}

async fn send(socket: &mut Socket, id: usize, operations: &Operations) -> Result<()> {
    let payload = operations();
    socket.send(&format!(r#"{{"type":"subscribe","id":"{id}","payload":{payload}}}"#)).await
}
