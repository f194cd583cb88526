//! Both subprotocols: whole conversations, and every close code with its cause.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame, FrameHeader,
        coding::{Control, Data, OpCode},
    },
};

use super::server::{LEGACY, Server, TRANSPORT, subscribe};
use crate::support::socket::Socket;

const INIT: &str = r#"{"type":"connection_init"}"#;

#[tokio::test]
async fn a_transport_ws_conversation() {
    let server = Server::start().await;
    let mut socket = Socket::speaking(server.address, &format!("{LEGACY}, {TRANSPORT}")).await;
    socket.send(r#"{"type":"ping","payload":{"n":1}}"#).await;
    assert_eq!(socket.next().await, json!({"type": "pong", "payload": {"n": 1}}), "a ping is valid before the init");
    socket.send(INIT).await;
    assert_eq!(socket.next().await, json!({"type": "connection_ack"}));
    socket.send(r#"{"type":"ping"}"#).await;
    assert_eq!(socket.next().await, json!({"type": "pong"}));

    // The same id repeatedly: it is free once its operation has ended, in whatever way.
    let hello = json!({"id": "1", "type": "subscribe", "payload":
        {"query": "query($n: String) { hello(name: $n) }", "variables": {"n": "you"}, "operationName": null}});
    socket.send(hello).await;
    assert_eq!(socket.next().await, json!({"id": "1", "type": "next", "payload": {"data": {"hello": "hello you"}}}));
    assert_eq!(socket.next().await, json!({"id": "1", "type": "complete"}));
    socket.send(subscribe("1", "subscription { ticks(count: 2) }")).await;
    for n in 0..2 {
        assert_eq!(socket.next().await, json!({"id": "1", "type": "next", "payload": {"data": {"ticks": n}}}));
    }
    assert_eq!(socket.next().await, json!({"id": "1", "type": "complete"}));
    socket.send(subscribe("1", "subscription {")).await;
    let error = socket.next().await;
    assert_eq!((&error["id"], &error["type"]), (&json!("1"), &json!("error")));
    assert!(error["payload"][0]["message"].is_string(), "{error}");

    // A `complete` drops the stream at once and gets no reply; one for an unknown id is ignored.
    socket.send(subscribe("1", "subscription { gated }")).await;
    server.probe.alive(1).await;
    server.probe.gate.add_permits(1);
    assert_eq!(socket.next().await["payload"], json!({"data": {"gated": 0}}));
    socket.send(r#"{"id":"1","type":"complete"}"#).await;
    server.probe.alive(0).await;
    socket.send(r#"{"id":"1","type":"complete"}"#).await;
    socket.send(subscribe("1", "{ hello }")).await;
    assert_eq!(socket.next().await["type"], "next");
    assert_eq!(socket.next().await["type"], "complete");

    // A slow query does not block others, and is dropped with its socket.
    socket.send(subscribe("slow", "{ slow }")).await;
    socket.send(subscribe("quick", "{ hello }")).await;
    assert_eq!(socket.next().await["id"], "quick");
    server.probe.alive(1).await;
    drop(socket);
    server.probe.alive(0).await;
}

#[tokio::test]
async fn a_panic_ends_only_its_own_operation() {
    let server = Server::start().await;
    let mut socket = server.ready().await;
    socket.send(subscribe("gated", "subscription { gated }")).await;
    socket.send(subscribe("bad", "subscription { panics }")).await;
    let result = socket.next().await;
    assert_eq!(result["id"], "bad");
    assert_eq!(result["payload"]["errors"][0]["extensions"]["code"], "INTERNAL_SERVER_ERROR");
    assert_eq!(socket.next().await, json!({"id": "bad", "type": "complete"}));
    server.probe.gate.add_permits(1);
    assert_eq!(socket.next().await["id"], "gated");
}

#[tokio::test]
async fn every_close_code_has_its_cause() {
    let server = Server::with(&["--body-limit", "2048", "--init-timeout", "200ms"]).await;
    let text = |text: &str| Message::text(text.to_owned());
    let frame = |opcode, bytes: &'static [u8], is_final| {
        let header = FrameHeader { is_final, opcode, ..FrameHeader::default() };
        Message::Frame(Frame::from_payload(header, bytes.into()))
    };
    let twice = [INIT, &subscribe("a", "subscription { gated }").to_string()].map(text);
    let table: Vec<(u16, &str, Vec<Message>)> = vec![
        (4400, "", vec![text("{")]),
        (4400, "", vec![text(r#"{"type":"connection_ack"}"#)]),
        (4400, "binary", vec![Message::binary(INIT.as_bytes().to_vec())]),
        (4400, "id", vec![text(INIT), text(r#"{"type":"subscribe","payload":{"query":"{hello}"}}"#)]),
        (4401, "Unauthorized", vec![text(&subscribe("a", "{ hello }").to_string())]),
        (4403, "the token is not valid", vec![text(r#"{"type":"connection_init","payload":{"authToken":"bad"}}"#)]),
        (4403, "text", vec![text(r#"{"type":"connection_init","payload":{"headers":{"authorization":1}}}"#)]),
        (4408, "Connection initialisation timeout", vec![]),
        (4409, "Subscriber for a already exists", [&twice[..], &twice[1..]].concat()),
        (4429, "Too many initialisation requests", vec![text(INIT), text(INIT)]),
        (1002, "control frame", vec![frame(OpCode::Control(Control::Ping), b"in pieces", false)]),
        (1007, "UTF-8", vec![frame(OpCode::Data(Data::Text), b"\xff", true)]),
        (1009, "too big", vec![text(&"x".repeat(100_000))]),
        (1013, "cannot be checked", vec![text(r#"{"type":"connection_init","payload":{"authToken":"unchecked"}}"#)]),
        (1013, "authentication", vec![text(r#"{"type":"connection_init","payload":{"authToken":"undecided"}}"#)]),
    ];
    for (code, reason, messages) in table {
        let mut socket = Socket::speaking(server.address, TRANSPORT).await;
        for message in messages.clone() {
            socket.send_raw(message).await;
        }
        let closed = socket.closed().await;
        assert!(closed.0 == code && closed.1.contains(reason), "{closed:?} after {messages:?}");
        server.probe.alive(0).await;
    }
    // Without a subprotocol: clients look for a close code, not for a failed upgrade.
    let mut socket = Socket::open(server.address, &[]).await.unwrap();
    assert_eq!(socket.closed().await, (4406, "Subprotocol not acceptable".into()));
}

#[tokio::test]
async fn the_upgrade_header_is_used_when_the_init_has_no_credential() {
    let server = Server::start().await;
    let with = async |header: &str, init: &str| {
        let headers = [("sec-websocket-protocol", TRANSPORT), ("authorization", header)];
        let mut socket = Socket::open(server.address, &headers).await.unwrap();
        socket.send(init).await;
        socket
    };
    assert_eq!(with("Bearer known", INIT).await.next().await["type"], "connection_ack");
    assert_eq!(with("Bearer bad", INIT).await.closed().await.0, 4403);
    let known = r#"{"type":"connection_init","payload":{"authorization":"Bearer known"}}"#;
    assert_eq!(with("Bearer bad", known).await.next().await["type"], "connection_ack");
}

#[tokio::test]
async fn an_expired_credential_closes_sockets_of_both_protocols() {
    let server = Server::start().await;
    let mut socket = server.ready().await;
    socket.send(subscribe("a", "subscription { gated }")).await;
    let mut legacy = Socket::speaking(server.address, LEGACY).await;
    legacy.send(r#"{"type":"connection_init","payload":{"authToken":"known"}}"#).await;
    assert_eq!(legacy.next().await["type"], "connection_ack");
    assert_eq!(legacy.next().await["type"], "ka");
    server.probe.alive(1).await;
    server.probe.expired.cancel();
    assert_eq!(socket.closed().await, (4403, "token expired".into()));
    server.probe.alive(0).await;
    assert_eq!(legacy.next().await, json!({"type": "connection_error", "payload": {"message": "token expired"}}));
    assert_eq!(legacy.closed().await.0, 4403);
}

#[tokio::test]
async fn a_legacy_conversation() {
    let server = Server::with(&["--ping-every", "1s"]).await;
    let mut socket = Socket::speaking(server.address, LEGACY).await;
    let start = |id: Value, query: &str| json!({"id": id, "type": "start", "payload": {"query": query}});
    // The reference client does not wait for the acknowledgement either.
    socket.send(INIT).await;
    socket.send(start(json!("1"), "{ hello }")).await;
    let expected = [
        json!({"type": "connection_ack"}),
        json!({"type": "ka"}),
        json!({"id": "1", "type": "data", "payload": {"data": {"hello": "hello "}}}),
        json!({"id": "1", "type": "complete"}),
    ];
    for message in expected {
        assert_eq!(socket.next().await, message);
    }
    assert_eq!(socket.next().await, json!({"type": "ka"}), "repeated at the keep-alive interval");
    socket.send(start(json!(2), "{ hello")).await;
    let error = socket.next().await;
    assert_eq!((&error["id"], &error["type"]), (&json!(2), &json!("error")));
    assert!(error["payload"]["message"].is_string(), "{error}");

    // A second start with the same id replaces the first; stop drops the stream and gets a `complete`.
    for _ in 0..2 {
        socket.send(start(json!("s"), "subscription { gated }")).await;
    }
    socket.send(start(json!("end"), "{ hello }")).await;
    assert_eq!(socket.next().await["id"], "end");
    assert_eq!(socket.next().await["id"], "end");
    server.probe.alive(1).await;
    socket.send(INIT).await;
    assert_eq!(socket.next().await["type"], "connection_error", "no new caller while an operation is open");
    socket.send(r#"{"id":"s","type":"stop"}"#).await;
    assert_eq!(socket.next().await, json!({"id": "s", "type": "complete"}));
    server.probe.alive(0).await;

    socket.send("{").await;
    assert_eq!(socket.next().await["type"], "connection_error");
    socket.send(r#"{"type":"connection_terminate"}"#).await;
    assert_eq!(socket.closed().await.0, 1000);

    // A start without an init runs as the upgrade request's caller, or as anonymous without a credential.
    let mut socket = Socket::speaking(server.address, LEGACY).await;
    socket.send(start(json!("1"), "{ hello }")).await;
    assert_eq!(socket.next().await["type"], "data");
    let headers = [("sec-websocket-protocol", LEGACY), ("authorization", "Bearer bad")];
    let mut socket = Socket::open(server.address, &headers).await.unwrap();
    socket.send(start(json!("1"), "{ hello }")).await;
    assert_eq!(socket.next().await["type"], "connection_error");
    assert_eq!(socket.closed().await.0, 4403);
}
