//! Clients that take more than their share: connections, requests, guesses, characters that cannot be stored.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::demo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use uuid::Uuid;

use crate::support::{
    app::{Node, TestApp, agent, service, visitor},
    chat::{CREATE_RACE, race_input},
    process::Process,
    socket::Socket,
};

/// Longer than anything here takes; a test that reaches it has failed.
const PATIENCE: Duration = Duration::from_secs(20);
const LOGIN: &str = "mutation($key: UUID!) { consumerLogin(input: {publicKey: $key}) { jwtToken } }";
const UPGRADE: &str = "GET /graphql HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    sec-websocket-protocol: graphql-transport-ws\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_sockets_takes_neither_health_nor_the_api_from_others() {
    let app = TestApp::new().await;
    let server = Process::serve_with_open_files(&app.database.url(), 256, &[]).await;
    assert!(server.said().iter().any(|line| line.contains("limit on open files")), "{:?}", server.said());
    let mut crowd = Vec::new();
    let mut upgraded = 0;
    for _ in 0..400 {
        let Ok(mut stream) = TcpStream::connect(server.client.address).await else { continue };
        let mut head = [0; 12];
        let answered = async {
            stream.write_all(UPGRADE.as_bytes()).await?;
            stream.read_exact(&mut head).await
        };
        if timeout(PATIENCE, answered).await.expect("an answer, or the end").is_ok() {
            upgraded += usize::from(head.ends_with(b"101"));
            crowd.push(stream);
        }
    }
    assert!((50..300).contains(&upgraded), "{upgraded} sockets of one address");
    for path in ["/live", "/ready", "/metrics"] {
        assert_eq!(server.client.status(path).await, 200, "{path}");
    }
    let viewer = server.client.data(&service(), "{ viewer { role } }", json!({})).await;
    assert_eq!(viewer["role"], "service");
    // A socket with a credential finds a place as soon as those of the crowd that are on probation are gone.
    let opened = async {
        let headers = [("sec-websocket-protocol", "graphql-transport-ws")];
        loop {
            let Ok(mut socket) = Socket::open(server.client.address, &headers).await else { continue };
            socket.send(json!({ "type": "connection_init", "payload": { "authToken": service() } })).await;
            assert_eq!(socket.next().await["type"], "connection_ack");
            return;
        }
    };
    timeout(PATIENCE, opened).await.expect("a socket");
    drop(crowd);
}

/// Sends an unfinished head of a request; the connection stays open.
async fn unfinished(server: &Process, bytes: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server.client.address).await.unwrap();
    let head = format!("GET /graphql HTTP/1.1\r\nx-large: {}", "x".repeat(bytes));
    // The server may refuse it meanwhile.
    let _ = stream.write_all(head.as_bytes()).await;
    stream
}

/// Resident memory of a process, in MiB.
fn resident(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1_024
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_heads_of_requests_take_little_memory() {
    let app = TestApp::new().await;
    let server = Process::serve(&app.database.url(), &["--unproven-limit", "1000"]).await;
    let before = resident(&server);
    let mut open = Vec::new();
    for _ in 0..500 {
        open.push(unfinished(&server, 380_000).await);
    }
    // Heads that just fit stay open until the read timeout.
    for _ in 0..400 {
        open.push(unfinished(&server, 30_000).await);
    }
    // All of them have been read when a later one has been.
    assert_eq!(server.client.status("/live").await, 200);
    let taken = resident(&server).saturating_sub(before);
    assert!(taken < 64, "{taken} MiB");
}

/// Sends a request that must be refused, with a time after which it passes.
async fn limited(node: &Node, token: &str, document: &str, variables: Value) {
    let answer = node.run(token, document, variables).await;
    assert_eq!((answer.status, answer.code()), (429, "RATE_LIMITED"), "{answer:?}");
    let ms = answer["errors"][0]["extensions"]["retryAfterMs"].as_u64().expect("a time");
    assert!((1..=60_000).contains(&ms), "{ms}");
}

#[tokio::test]
async fn writes_of_one_visitor_are_limited_over_both_transports() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--writes-at-once", "4", "--writes-per-second", "1"]).await;
    let (eve, adam) = (visitor("eve"), visitor("adam"));
    let race = || race_input(Uuid::new_v4());
    for _ in 0..2 {
        node.data(&eve, CREATE_RACE, race()).await;
    }
    // Each field of a mutation counts, whatever the transport and the token.
    let variables = json!({ "a": race()["input"], "b": race()["input"] });
    let fields = |names: &[&str]| -> String {
        let field = |name: &&str| format!("{name}: createChatRace(input: ${}) {{ race {{ key }} }} ", &name[..1]);
        let fields: String = names.iter().map(field).collect();
        format!("mutation($a: CreateChatRaceInput!, $b: CreateChatRaceInput!) {{ {fields} }}")
    };
    // Four at once pass again only when the bucket is full again.
    let (two, four) = (fields(&["a", "b"]), fields(&["a", "b", "a2", "b2"]));
    let mut socket = node.socket(&visitor("eve")).await;
    let subscribe = |id: &str, document: &str| json!({ "type": "subscribe", "id": id, "payload": { "query": document, "variables": variables } });
    socket.send(subscribe("1", &two)).await;
    assert_eq!(socket.next().await["type"], "next");
    assert_eq!(socket.next().await["type"], "complete");
    socket.send(subscribe("2", &four)).await;
    let refused = socket.next().await;
    assert_eq!(refused["type"], "error");
    let extensions = &refused["payload"][0]["extensions"];
    assert!(extensions["code"] == "RATE_LIMITED" && extensions["retryAfterMs"].is_u64(), "{refused}");
    limited(&node, &eve, &four, variables.clone()).await;
    let response = reqwest::Client::new().post(node.url("/graphql")).bearer_auth(&eve);
    let response = response.json(&json!({ "query": four, "variables": variables })).send().await.unwrap();
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    // Reads are not limited, nor are others, nor the company's own servers.
    node.data(&eve, "{ viewer { id } }", json!({})).await;
    node.data(&adam, CREATE_RACE, race()).await;
    for _ in 0..10 {
        node.data(&service(), CREATE_RACE, race()).await;
    }
    let metrics = node.text("/metrics").await;
    assert!(metrics.contains("switchboard_rate_limited_total{limit=\"writes\"}"), "{metrics}");
}

#[tokio::test]
async fn logins_from_one_address_are_limited() {
    let app = TestApp::new().await;
    let limits = ["--logins-at-once", "3", "--logins-per-second", "1"];
    let node = app.node_with(&[&limits[..], &["--trusted-proxies", "127.0.0.1"]].concat()).await;
    let key = json!({ "key": demo::PUBLIC_KEY });
    let log_in = async |from: &str| {
        let request = reqwest::Client::new().post(node.url("/graphql")).header("x-forwarded-for", from);
        let body = json!({ "query": LOGIN, "variables": key });
        request.json(&body).send().await.unwrap().status().as_u16()
    };
    for _ in 0..3 {
        assert_eq!(log_in("2001:db8::1").await, 200);
    }
    // One in a second passes again, but no more.
    let mut passed = 0;
    while log_in("2001:db8::ffff").await == 200 {
        passed += 1;
        assert!(passed < 20, "another address of the same network is not limited");
    }
    assert_eq!(log_in("192.0.2.1").await, 200, "another address");
    let twice = "mutation($key: UUID!) { a: consumerLogin(input: {publicKey: $key}) { jwtToken }
        b: consumerLogin(input: {publicKey: $key}) { jwtToken } c: consumerLogin(input: {publicKey: $key}) { jwtToken }
        d: consumerLogin(input: {publicKey: $key}) { jwtToken } }";
    limited(&node, "", twice, key.clone()).await;
    for _ in 0..5 {
        node.data(&service(), LOGIN, key.clone()).await;
    }
}

#[tokio::test]
async fn a_visitor_that_logs_in_under_many_names_gets_no_more_writes() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--visitor-writes-at-once", "5", "--visitor-writes-per-second", "1"]).await;
    let mut written = 0;
    while node.run(&visitor(&Uuid::new_v4().to_string()), CREATE_RACE, race_input(Uuid::new_v4())).await.status != 429 {
        written += 1;
        assert!(written < 40, "new names are not limited");
    }
    assert!(written >= 5);
    node.data(&service(), CREATE_RACE, race_input(Uuid::new_v4())).await;
}

#[tokio::test]
async fn guesses_of_chat_ids_are_counted_and_limited() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--guesses-at-once", "5"]).await;
    let race = node.data(&visitor("eve"), CREATE_RACE, race_input(Uuid::new_v4())).await["race"].take();
    let known = json!({ "id": race["chats"][0]["id"] });
    let document = "query($id: UUID!) { chat(id: $id) { id } }";
    let unknown = || json!({ "id": Uuid::new_v4() });
    for _ in 0..20 {
        assert_eq!(node.fields("", document, known.clone()).await["chat"]["id"], known["id"]);
    }
    // One in a second passes again, but no more; by a subscription too.
    let mut wrong = 0;
    while node.run("", document, unknown()).await.code() != "RATE_LIMITED" {
        wrong += 1;
        assert!(wrong < 20, "guesses are not limited");
    }
    let message_added = "subscription($id: UUID!) { messageAdded(chatId: $id) { operation } }";
    loop {
        let payload = node.subscribe("", message_added, unknown()).await.payload().await;
        if payload["errors"][0]["extensions"]["code"] == "RATE_LIMITED" {
            break;
        }
        wrong += 1;
        assert!(wrong < 40, "guesses by a subscription are not limited");
    }
    // Callers with a credential are not concerned.
    assert_eq!(node.fields(&visitor("eve"), document, unknown()).await["chat"], Value::Null);
    let metrics = node.text("/metrics").await;
    for counted in ["switchboard_chat_unknown_ids_total", "switchboard_rate_limited_total{limit=\"guesses\"}"] {
        assert!(metrics.contains(counted), "{counted} in:\n{metrics}");
    }
}

#[tokio::test]
async fn the_character_nul_is_refused_wherever_it_stands() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let service = service();
    let contracts = "query($x: String) { contracts(condition: {status: $x}) { id } }";
    let contracts = (contracts, json!({ "x": "a\u{0}b" }));
    let subject = ("query($x: ID!) { events(subjectId: $x) { nodes { type } } }", json!({ "x": "\u{0}" }));
    let after = "query($x: String) { events(subjectId: \"a\", after: $x) { nodes { type } } }";
    let after = (after, json!({ "x": "1.1.\u{0}" }));
    let literal = (r#"{ events(subjectId: "a\u0000") { nodes { type } } }"#, json!({}));
    let default = (r#"query($x: ID! = "\u0000") { events(subjectId: $x) { nodes { type } } }"#, json!({}));
    let nested = (
        "mutation($website: WebsiteInput!) { createWebsite(input: {website: $website}) { publicKey } }",
        json!({ "website": { "name": "a\u{0}", "allowedOrigins": ["\u{0}"] } }),
    );
    for (document, variables) in [contracts, subject, after, literal, default, nested] {
        let answer = node.run(&service, document, variables.clone()).await;
        assert_eq!((answer.status, answer.code()), (400, "BAD_USER_INPUT"), "{document} {variables}: {answer:?}");
        let message = answer["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains("U+0000"), "{answer:?}");
        assert!(!document.starts_with("mutation") || message.contains("$website.allowedOrigins[0]: "), "{answer:?}");
        let mut socket = node.socket(&service).await;
        let payload = json!({ "query": document, "variables": variables });
        socket.send(json!({ "type": "subscribe", "id": "1", "payload": payload })).await;
        assert_eq!(socket.next().await["payload"][0]["extensions"]["code"], "BAD_USER_INPUT", "{document}");
    }
    let url = node.url("/graphql?query=%7Bevents(subjectId:%22%00%22)%7Bnodes%7Btype%7D%7D%7D");
    let response = reqwest::Client::new().get(url).bearer_auth(&service).send().await.unwrap();
    let body: Value = response.json().await.unwrap();
    let code = &body["errors"][0]["extensions"]["code"];
    assert!(code == "BAD_USER_INPUT" || code == "GRAPHQL_PARSE_FAILED", "{body}");
}

#[tokio::test]
async fn a_visitors_token_of_a_website_that_its_company_does_not_have_gets_no_race() {
    use switchboard::platform::auth::token::Claims;
    let app = TestApp::new().await;
    let node = app.node().await;
    let stranger = crate::support::app::token(&Claims::consumer(demo::COMPANY_ID, Uuid::new_v4(), "eve"));
    let mut input = race_input(Uuid::new_v4());
    input["input"].as_object_mut().unwrap().remove("websiteId");
    assert_eq!(node.code(&stranger, CREATE_RACE, input.clone()).await, "NOT_FOUND");
    input["input"]["contractIds"] = json!([demo::demo().contracts[0].id]);
    assert_eq!(node.code(&stranger, CREATE_RACE, input).await, "NOT_FOUND");
    // A caller of another role is not concerned.
    node.data(&agent(demo::AGENTS[0].1), "{ viewer { id } }", json!({})).await;
}

#[tokio::test]
async fn empty_fragments_of_a_message_count_as_messages() {
    let app = TestApp::new().await;
    let node = app.node().await;
    // An unfinished text of one byte, and masked continuations without any.
    let (begin, nothing, end) = (b"\x01\x81\0\0\0\0{", b"\0\x80\0\0\0\0", b"\x80\x81\0\0\0\0}");
    let endless = [begin.as_slice(), &nothing.repeat(200_000)].concat();
    let ended = [begin.as_slice(), &nothing.repeat(100_000), end].concat();
    for (bytes, code) in [(endless, 1009), (ended, 1013)] {
        let mut socket = node.socket(&visitor("eve")).await;
        socket.write_bytes(&bytes).await;
        assert_eq!(socket.closed().await.0, code);
    }
    // A message in honest fragments is a message.
    let mut socket = node.socket(&visitor("eve")).await;
    let text = json!({ "type": "ping", "payload": { "filler": "x".repeat(100_000) } }).to_string();
    let mut bytes = Vec::new();
    for (place, part) in text.as_bytes().chunks(10_000).enumerate() {
        let is_last = (place + 1) * 10_000 >= text.len();
        bytes.extend([u8::from(place == 0) | if is_last { 0x80 } else { 0 }, 0x80 | 0x7e]);
        bytes.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(part);
    }
    for _ in 0..20 {
        socket.write_bytes(&bytes).await;
        assert_eq!(socket.next().await["type"], "pong");
    }
}
