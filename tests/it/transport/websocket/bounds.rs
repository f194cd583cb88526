//! The limits of one client, and what happens when it reaches them.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::server::{Server, TRANSPORT, subscribe};
use crate::support::socket::{Refused, Socket};

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_and_its_messages_are_handled_until_then() {
    let server = Server::with(&["--send-queue", "65536", "--send-timeout", "500ms"]).await;
    // Its `complete` is handled although nothing can be written to it.
    let mut socket = server.ready().await;
    socket.send(subscribe("a", "subscription { flood(bytes: 65536) }")).await;
    server.probe.alive(1).await;
    socket.send(r#"{"id":"a","type":"complete"}"#).await;
    server.probe.alive(0).await;

    let mut socket = server.ready().await;
    socket.send(subscribe("a", "subscription { flood(bytes: 65536) }")).await;
    server.probe.alive(1).await;
    server.probe.alive(0).await;
    assert_eq!(socket.closed().await.0, 1013);
}

#[tokio::test]
async fn a_slow_reader_receives_every_message() {
    let server = Server::with(&["--send-queue", "1024", "--send-timeout", "5s"]).await;
    let mut socket = server.ready().await;
    socket.send(subscribe("a", "subscription { ticks(count: 5000) }")).await;
    for n in 0..5_000 {
        assert_eq!(socket.next().await["payload"]["data"]["ticks"], n);
    }
    assert_eq!(socket.next().await["type"], "complete");
}

#[tokio::test]
async fn a_stream_that_is_always_ready_does_not_starve_other_operations() {
    let server = Server::start().await;
    let mut socket = server.ready().await;
    socket.send(subscribe("hot", "subscription { flood(bytes: 10) }")).await;
    socket.send(subscribe("cold", "{ hello }")).await;
    socket.send(r#"{"type":"ping"}"#).await;
    let mut missing = vec!["next cold", "complete cold", "pong"];
    while !missing.is_empty() {
        let message = socket.next().await;
        let kind = message["type"].as_str().unwrap();
        let seen = if kind == "pong" { kind.to_owned() } else { format!("{kind} {}", message["id"].as_str().unwrap()) };
        missing.retain(|wanted| *wanted != seen);
    }
    socket.send(r#"{"id":"hot","type":"complete"}"#).await;
    server.probe.alive(0).await;
}

#[tokio::test]
async fn a_client_that_sends_without_reading_is_closed() {
    let server = Server::start().await;
    let mut socket = server.ready().await;
    let ping = json!({"type": "ping", "payload": {"filler": "x".repeat(60_000)}});
    // Far more than the kernel's buffers can hold.
    for _ in 0..1_000 {
        if !socket.try_send(&ping).await {
            break;
        }
    }
    let mut last = None;
    while let Some(Ok(message)) = socket.next_raw().await {
        if let Message::Close(frame) = message {
            last = frame;
            break;
        }
    }
    // The reset that unread bytes cause may arrive before the close frame; clients reconnect after both.
    assert!(last.is_none_or(|frame| u16::from(frame.code) == 1013));
    server.all_closed().await;
}

#[tokio::test]
async fn the_numbers_of_operations_and_sockets_are_limited() {
    let server = Server::with(&["--subscription-limit", "2", "--socket-limit", "1"]).await;
    let mut socket = server.ready().await;
    for id in ["a", "b", "c"] {
        socket.send(subscribe(id, "subscription { gated }")).await;
    }
    let error = socket.next().await;
    assert_eq!((&error["id"], &error["type"]), (&json!("c"), &json!("error")));
    assert_eq!(error["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    socket.send(r#"{"id":"a","type":"complete"}"#).await;
    socket.send(subscribe("c", "{ hello }")).await;
    assert_eq!(
        socket.next().await["type"],
        "next",
        "the other operations continue, and a freed slot can be used again"
    );

    let headers = [("sec-websocket-protocol", TRANSPORT)];
    let refused = Socket::open(server.address, &headers).await.err();
    assert_eq!(refused, Some(Refused { status: 503, retry_after: true }));
    socket.send_raw(Message::Close(None)).await;
    while socket.next_raw().await.is_some() {}
    server.all_closed().await;
    server.ready().await;
}

#[tokio::test]
async fn a_drain_closes_idle_sockets_at_once_and_others_when_their_queries_have_finished() {
    let server = Server::start().await;
    let mut idle = server.ready().await;
    let mut busy = server.ready().await;
    idle.send(subscribe("a", "subscription { gated }")).await;
    server.probe.alive(1).await;
    busy.send(subscribe("b", "{ slow }")).await;
    server.probe.alive(2).await;
    server.drain.cancel();
    let drained = (1001, "server is shutting down, reconnect".to_owned());
    assert_eq!(idle.closed().await, drained);
    server.probe.alive(1).await;
    server.probe.gate.add_permits(1);
    assert_eq!(busy.next().await["payload"], json!({"data": {"slow": true}}));
    assert_eq!(busy.next().await["type"], "complete");
    assert_eq!(busy.closed().await, drained);
    let refused = Socket::open(server.address, &[("sec-websocket-protocol", TRANSPORT)]).await.err();
    assert_eq!(refused, Some(Refused { status: 503, retry_after: true }));
    server.all_closed().await;
}

#[tokio::test]
async fn an_idle_socket_is_pinged_and_a_silent_one_dropped() {
    let server = Server::with(&["--ping-every", "100ms", "--silence-limit", "400ms"]).await;
    // A client that reads also responds to pings, so it stays.
    let mut socket = server.ready().await;
    for _ in 0..8 {
        assert!(matches!(socket.next_raw().await, Some(Ok(Message::Ping(_)))));
    }
    socket.send(subscribe("a", "{ hello }")).await;
    assert_eq!(socket.next().await["type"], "next");
    // One that does not read does not respond, so it is dropped.
    socket.send(subscribe("a", "subscription { gated }")).await;
    server.probe.alive(1).await;
    server.probe.alive(0).await;
}

#[tokio::test]
async fn a_client_that_sends_too_much_is_closed_unless_it_is_a_companys_server() {
    let flags = ["--frames-at-once", "50", "--frames-per-second", "1"];
    let server = Server::with(&flags).await;
    let ping = Message::Ping(Vec::new().into());
    for message in [Message::text(r#"{"type":"ping"}"#), ping.clone()] {
        let mut socket = Socket::speaking(server.address, TRANSPORT).await;
        socket.send(r#"{"type":"connection_init"}"#).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        for _ in 0..60 {
            // The server reads no more once the limit is reached, and the kernel takes the rest.
            socket.send_raw(message.clone()).await;
        }
        let (code, reason) = socket.closed().await;
        assert_eq!((code, &*reason), (1013, "too many messages, reconnect later"));
    }
    let mut service = server.ready().await;
    for _ in 0..200 {
        service.send_raw(ping.clone()).await;
    }
    service.send(subscribe("a", "{ hello }")).await;
    assert_eq!(service.next().await["type"], "next");
}

#[tokio::test]
async fn a_result_that_is_too_large_to_be_sent_ends_its_own_subscription_with_an_error() {
    let server = Server::start().await;
    let mut socket = server.ready().await;
    socket.send(subscribe("small", "subscription { ticks(count: 1000000) }")).await;
    assert_eq!(socket.next().await["payload"]["data"]["ticks"], 0);
    socket.send(subscribe("large", "subscription { flood(bytes: 17000000) }")).await;
    let error = loop {
        let message = socket.next().await;
        if message["id"] == "large" {
            break message;
        }
    };
    assert_eq!(error["type"], "error", "and none of it before");
    assert_eq!(error["payload"][0]["extensions"]["code"], "PAYLOAD_TOO_LARGE");
    // The stream is gone, and the other one goes on.
    server.probe.alive(0).await;
    for _ in 0..100 {
        let message = socket.next().await;
        assert!(message["type"] == "next" && message["id"] == "small", "{}", message["type"]);
    }
}

#[tokio::test]
async fn a_socket_without_a_credential_that_runs_nothing_is_closed() {
    let server = Server::with(&["--anonymous-idle", "200ms"]).await;
    let anonymous = async || {
        let mut socket = Socket::speaking(server.address, TRANSPORT).await;
        socket.send(r#"{"type":"connection_init"}"#).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        socket
    };
    let (mut known, mut busy, mut idle) = (server.ready().await, anonymous().await, anonymous().await);
    busy.send(subscribe("a", "subscription { gated }")).await;
    server.probe.alive(1).await;
    assert_eq!(idle.closed().await.0, 1001);
    // As idle as that one, or as anonymous, but not both.
    known.send(subscribe("a", "{ hello }")).await;
    assert_eq!(known.next().await["type"], "next");
    server.probe.gate.add_permits(1);
    assert_eq!(busy.next().await["type"], "next");
    // When its last operation has ended it is idle too.
    busy.send(r#"{"id":"a","type":"complete"}"#).await;
    assert_eq!(busy.closed().await.0, 1001);
}
