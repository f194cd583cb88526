//! What a server shows to whom: logs, metrics, web pages of other companies.

use serde_json::{Value, json};
use switchboard::tenant::Tenants;
use uuid::Uuid;

use crate::support::{
    app::{TestApp, service, service_of, visitor},
    chat::{CREATE_RACE, race_input},
    process::Process,
    socket::{Refused, Socket},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_log_line_holds_a_credential_whatever_the_level() {
    let app = TestApp::new().await;
    let server = Process::serve_in(&app.database.url(), &[("RUST_LOG", "trace")], &[]).await;
    let (eve, key) = (visitor("eve"), "sbk_bm90IGEga2V5LCBidXQgaXQgbG9va3MgbGlrZSBvbmU");
    let client = &server.client;
    client.data(&eve, CREATE_RACE, race_input(Uuid::new_v4())).await;
    assert_eq!(client.run(key, "{ viewer { id } }", json!({})).await.status, 401);
    let mut socket = client.socket(&eve).await;
    socket.send(json!({ "type": "subscribe", "id": "1", "payload": { "query": "{ viewer { id } }" } })).await;
    assert_eq!(socket.next().await["type"], "next");
    let bearer = format!("Bearer {eve}");
    let headers = [("sec-websocket-protocol", "graphql-ws"), ("authorization", &*bearer)];
    let mut legacy = Socket::open(client.address, &headers).await.unwrap();
    legacy.send(r#"{"type":"connection_init","payload":{}}"#).await;
    assert_eq!(legacy.next().await["type"], "connection_ack");
    // Where no credential belongs.
    assert_eq!(client.status(&format!("/graphql?query=%7Bviewer%7Bid%7D%7D&token={eve}")).await, 401);
    assert_eq!(client.status(&format!("/secret/{eve}")).await, 404);
    assert_eq!(client.status(&format!("/graphql?authToken={key}")).await, 400);
    // The key of a browser, which is as good as a token.
    let browser = "a-browser_that-names-itself-by-this-key";
    assert_eq!(client.status(&format!("/graphql?query=%7B__typename%7D&visitor={browser}")).await, 200);
    let protocol = [("sec-websocket-protocol", "graphql-transport-ws")];
    let path = format!("/graphql?visitor={browser}");
    let mut keyed = Socket::open_at(client.address, &path, &protocol).await.unwrap();
    keyed.send(r#"{"type":"connection_init"}"#).await;
    assert_eq!(keyed.next().await["type"], "connection_ack");
    let http2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let response = http2.post(client.url("/graphql")).bearer_auth(&eve).json(&json!({ "query": "{ viewer { id } }" }));
    assert_eq!(response.send().await.unwrap().status().as_u16(), 200);

    let said = server.said();
    assert!(said.iter().any(|line| line.contains("\"TRACE\"") || line.contains("\"DEBUG\"")), "nothing was logged");
    let signature = eve.rsplit('.').next().unwrap();
    // As some libraries print bytes.
    let hex = signature.bytes().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
    for line in &said {
        for secret in [signature, key, &hex, browser] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[tokio::test]
async fn metrics_have_a_listener_of_their_own_where_one_is_set() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--metrics-listen", "127.0.0.1:0"]).await;
    let internal = crate::support::client::Client::new(node.app.metrics_address.unwrap());
    assert!(internal.text("/metrics").await.contains("switchboard_build_info"));
    for (path, inside, outside) in
        [("/live", 200, 200), ("/ready", 200, 200), ("/metrics", 200, 404), ("/graphql?query=%7Ba%7D", 404, 200)]
    {
        assert_eq!((internal.status(path).await, node.status(path).await), (inside, outside), "{path}");
    }
    assert_eq!(app.node().await.status("/metrics").await, 200, "by default on the only listener");
}

#[tokio::test]
async fn a_web_page_may_act_only_for_the_company_that_lists_its_origin() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--allowed-origins", "https://console.example"]).await;
    let work = app.database.work();
    let other = Tenants::new(work.clone()).create_company("Other").await.unwrap();
    work.close().await;
    let list = "mutation($website: WebsiteInput!) { createWebsite(input: {website: $website}) { publicKey } }";
    let website = |origin: &str| json!({ "website": { "allowedOrigins": [origin] } });
    node.data(&service(), list, website("https://demo.example")).await;
    node.data(&service_of(other), list, website("https://other.example")).await;

    let client = reqwest::Client::new();
    let post = async |origin: &str, token: &str| {
        let mut request = client.post(node.url("/graphql")).header("origin", origin);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let response = request.json(&json!({ "query": "{ chats { nodes { id } } }" })).send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        (status, body["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let upgrade = async |origin: &str, token: &str| {
        let headers = [("sec-websocket-protocol", "graphql-transport-ws"), ("origin", origin)];
        let mut socket = match Socket::open(node.address, &headers).await {
            Ok(socket) => socket,
            Err(Refused { status, .. }) => return status,
        };
        let payload = if token.is_empty() { json!({}) } else { json!({ "authToken": token }) };
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        match socket.next_raw().await.unwrap().unwrap() {
            tokio_tungstenite::tungstenite::Message::Close(Some(frame)) => frame.code.into(),
            _ => 0,
        }
    };
    let (ours, theirs) = (service(), service_of(other));
    let own = format!("http://{}", node.address);
    let rows = [
        ("https://demo.example", &*ours, (200, ""), 0),
        ("https://demo.example", &*theirs, (403, "FORBIDDEN"), 4403),
        ("https://demo.example", "", (401, "UNAUTHENTICATED"), 0),
        ("https://other.example", &*ours, (403, "FORBIDDEN"), 4403),
        ("https://other.example", &*theirs, (200, ""), 0),
        ("https://console.example", &*theirs, (200, ""), 0),
        (&*own, &*theirs, (200, ""), 0),
        ("https://evil.example", &*ours, (403, "FORBIDDEN"), 403),
        ("https://evil.example", "", (403, "FORBIDDEN"), 403),
        ("null", &*ours, (403, "FORBIDDEN"), 403),
    ];
    for (origin, token, expected, close) in rows {
        let (status, code) = post(origin, token).await;
        assert_eq!((status, &*code), expected, "{origin}");
        assert_eq!(upgrade(origin, token).await, close, "{origin}");
    }
    // A preflight has no token: it passes where the origin counts for any company.
    for (origin, allowed) in [("https://demo.example", true), ("https://evil.example", false)] {
        let preflight = client.request(reqwest::Method::OPTIONS, node.url("/graphql")).header("origin", origin);
        let response = preflight.header("access-control-request-method", "POST").send().await.unwrap();
        assert_eq!(response.headers().contains_key("access-control-allow-origin"), allowed, "{origin}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_trusted_is_warned_of_once() {
    let app = TestApp::new().await;
    let url = app.database.url();
    for (flags, warnings) in [(&[][..], 1), (&["--trusted-proxies", "127.0.0.1"][..], 0)] {
        let server = Process::serve(&url, flags).await;
        for _ in 0..3 {
            let request = reqwest::Client::new().post(server.client.url("/graphql"));
            let request = request.header("x-forwarded-for", "203.0.113.9").json(&json!({ "query": "{ __typename }" }));
            request.send().await.unwrap();
        }
        let said = server.said();
        assert_eq!(said.iter().filter(|line| line.contains("X-Forwarded-For")).count(), warnings, "{said:?}");
    }
}
