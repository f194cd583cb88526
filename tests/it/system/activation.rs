//! A listening socket that outlives the server: whoever connects between two servers waits, and is not refused.

use std::{net::TcpListener, os::fd::OwnedFd, process::Stdio, time::Duration};

use serde_json::json;
use switchboard::demo;
use tokio::{process::Command, time::timeout};

use crate::support::{
    app::{SECRET, TestApp},
    client::Client,
    process::Process,
};

/// What systemd does: the socket is file 3 of the process, and `LISTEN_PID` names the process.
fn with_socket(url: &str, socket: &TcpListener) -> Command {
    let mut command = Command::new("/bin/sh");
    // Files other than the first three are closed when a program begins, so the socket comes as the first.
    let script = "exec 3<&0 0</dev/null && LISTEN_PID=$$ exec \"$0\" serve";
    command.args(["-c", script, env!("CARGO_BIN_EXE_switchboard")]);
    command.env("DATABASE_URL", url).env("SWITCHBOARD_JWT_SECRET", SECRET).env("LISTEN_FDS", "1");
    // Taken, so that a server that ignored the socket would fail.
    command.env("SWITCHBOARD_LISTEN", socket.local_addr().unwrap().to_string());
    let passed = OwnedFd::from(socket.try_clone().unwrap());
    command.stdin(Stdio::from(passed)).kill_on_drop(true);
    command
}

#[tokio::test]
async fn nobody_is_refused_while_one_server_ends_and_the_next_begins() {
    let app = TestApp::new().await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let url = app.database.url();
    let mut first = Process::start(with_socket(&url, &socket)).await;
    assert_eq!(first.client.address, address);
    let login = "mutation($key: UUID!) { consumerLogin(input: {publicKey: $key}) { jwtToken } }";
    let key = json!({ "key": demo::PUBLIC_KEY });
    first.client.fields("", login, key.clone()).await;
    first.signal("TERM").await;
    first.ended().await;
    // Nobody listens now; the next server starts while clients connect.
    let clients = (0..20).map(|_| {
        let (client, key) = (Client::new(address), key.clone());
        tokio::spawn(async move { client.fields("", login, key).await })
    });
    let clients: Vec<_> = clients.collect();
    let _second = Process::start(with_socket(&url, &socket)).await;
    for client in clients {
        timeout(Duration::from_secs(20), client).await.expect("an answer in time").unwrap();
    }
}
