//! GraphQL over HTTP through the real router, server, engine and authenticator, over a small schema. The
//! specification's own audits run in `tests/clients/http-audit.test.mjs`.

mod api;

use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, RequestBuilder};
use serde_json::{Map, Value, json};
use switchboard::platform::task::Failure;
use time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};
use uuid::Uuid;

use self::api::{Api, GRAPHQL, HttpResponse, JSON, escaped, token};

#[tokio::test]
async fn the_status_depends_on_the_media_type() {
    let api = Api::start(&[]).await;
    // document, status as application/json, status as application/graphql-response+json, code, has data
    let table = [
        ("{ hello }", 200, 200, "", true),
        ("{", 200, 400, "GRAPHQL_PARSE_FAILED", false),
        ("{ unknown }", 200, 400, "GRAPHQL_VALIDATION_FAILED", false),
        ("query($x: Int!) { hello(times: $x) }", 200, 400, "BAD_USER_INPUT", false),
        ("{ perhaps }", 200, 200, "UNAUTHENTICATED", true),
        ("{ broken }", 200, 200, "INTERNAL_SERVER_ERROR", true),
        ("{ who }", 401, 401, "UNAUTHENTICATED", true),
        ("{ away }", 503, 503, "UNAVAILABLE", true),
        ("{ limited }", 429, 429, "RATE_LIMITED", true),
        ("subscription { ticks }", 400, 400, "BAD_USER_INPUT", false),
    ];
    for (document, json, graphql, code, data) in table {
        for (accept, status) in [(JSON, json), (GRAPHQL, graphql)] {
            let response = HttpResponse::of(api.query(document).header("accept", accept)).await;
            assert_eq!(
                (response.status, &*response.code()),
                (status, code),
                "{document} as {accept}: {}",
                response.text
            );
            assert_eq!(response.header("content-type"), format!("{accept}; charset=utf-8"));
            assert_eq!(response.json().get("data").is_some(), data, "{document}: {}", response.text);
            assert_eq!(response.header("www-authenticate"), if status == 401 { "Bearer" } else { "" });
            assert_eq!(response.header("retry-after"), if matches!(status, 429 | 503) { "1" } else { "" });
            assert_eq!(response.header("cache-control"), "no-store");
            assert_eq!(response.header("x-content-type-options"), "nosniff");
            assert!(!response.text.contains("secret"), "{}", response.text);
        }
    }
    let subscription = HttpResponse::of(api.query("subscription { ticks }")).await;
    assert!(subscription.text.contains("WebSocket"), "{}", subscription.text);
}

#[tokio::test]
async fn invalid_requests_are_refused_with_the_right_status() {
    let api = Api::start(&["--body-limit", "2048"]).await;
    let long = json!({ "query": "{ hello }", "variables": { "x": "y".repeat(4_000) } }).to_string();
    let posts: [(&str, Option<&str>, u16, &str); 12] = [
        ("", Some(JSON), 400, "BAD_USER_INPUT"),
        ("{", Some(JSON), 400, "BAD_USER_INPUT"),
        ("{\"query\": 7}", Some(JSON), 400, "BAD_USER_INPUT"),
        ("[]", Some(JSON), 400, "BAD_USER_INPUT"),
        (&long, Some(JSON), 413, "PAYLOAD_TOO_LARGE"),
        ("{\"query\":\"{hello}\"}", Some("application/json; charset=utf-8"), 200, ""),
        ("{\"query\":\"{hello}\"}", Some("application/json; charset=latin1"), 415, "BAD_USER_INPUT"),
        ("{\"query\":\"mutation{touch}\"}", None, 415, "BAD_USER_INPUT"),
        ("{\"query\":\"mutation{touch}\"}", Some("text/plain"), 415, "BAD_USER_INPUT"),
        ("query=mutation{touch}", Some("application/x-www-form-urlencoded"), 415, "BAD_USER_INPUT"),
        ("--x\r\n\r\n--x--", Some("multipart/form-data; boundary=x"), 415, "BAD_USER_INPUT"),
        ("mutation{touch}", Some("application/graphql"), 415, "BAD_USER_INPUT"),
    ];
    for (body, kind, status, code) in posts {
        for accept in [JSON, GRAPHQL] {
            let mut request = api.request(Method::POST, "/graphql").body(body.to_owned()).header("accept", accept);
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            let response = HttpResponse::of(request).await;
            assert_eq!((response.status, &*response.code()), (status, code), "{body} as {kind:?}: {}", response.text);
        }
    }
    let latin = HttpResponse::of(api.post(b"{\"query\":\"{hello} #\xe9\"}".to_vec())).await;
    assert_eq!((latin.status, &*latin.code()), (400, "BAD_USER_INPUT"));
    let picky = HttpResponse::of(api.query("mutation { touch }").header("accept", "text/csv")).await;
    assert_eq!((picky.status, &*picky.code()), (406, "BAD_USER_INPUT"));
    assert_eq!(api.touched(), 0);
}

#[tokio::test]
async fn get_runs_queries_only() {
    let api = Api::start(&[]).await;
    let document = escaped("query A($x: Int) { hello(times: $x) } query B { hello }");
    let path = format!("/graphql?query={document}&operationName=A&variables={}", escaped("{\"x\": 2}"));
    let request = api.request(Method::GET, &path);
    let response = HttpResponse::of(request).await;
    assert_eq!((response.status, response.json()), (200, json!({ "data": { "hello": "hello hello" } })));
    let head = HttpResponse::of(api.request(Method::HEAD, "/graphql?query={hello}")).await;
    assert_eq!((head.status, &*head.text), (200, ""));
    for (document, says) in [("mutation { touch }", "POST"), ("subscription { ticks }", "WebSocket")] {
        for accept in [JSON, GRAPHQL] {
            let response = HttpResponse::of(api.get(document).header("accept", accept)).await;
            assert_eq!((response.status, response.header("allow")), (405, "POST"), "{document}");
            assert!(response.text.contains(says), "{}", response.text);
        }
    }
    for method in [Method::PUT, Method::DELETE, Method::PATCH] {
        let response = HttpResponse::of(api.request(method, "/graphql")).await;
        assert_eq!((response.status, response.header("allow")), (405, "GET,HEAD,POST"));
    }
    for query in ["", "?query={hello}&query={hello}", "?query={hello}&variables=[]", "?query=%ff"] {
        let response = HttpResponse::of(api.request(Method::GET, &format!("/graphql{query}"))).await;
        assert_eq!((response.status, &*response.code()), (400, "BAD_USER_INPUT"), "{query}");
    }
    assert_eq!(api.touched(), 0);
}

#[tokio::test]
async fn a_refused_credential_is_401_except_for_a_login() {
    let api = Api::start(&[]).await;
    let company = switchboard::tenant::Tenants::new(api.database.work()).create_company("Acme").await.unwrap();
    let good = HttpResponse::of(api.query("{ who }").bearer_auth(token(company, Duration::ZERO))).await;
    assert_eq!((good.status, good.json().get("errors")), (200, None), "{}", good.text);
    let bad = ["Bearer nonsense", "Bearer", "Basic eDp5", &format!("Bearer {}", token(company, Duration::HOUR * 2))];
    for credential in bad {
        for accept in [JSON, GRAPHQL] {
            let with = |request: RequestBuilder| request.header("authorization", credential).header("accept", accept);
            for document in ["{ hello }", "{", "mutation { touch }", "mutation { consumerLogin touch }"] {
                let response = HttpResponse::of(with(api.query(document))).await;
                assert_eq!(
                    (response.status, &*response.code()),
                    (401, "UNAUTHENTICATED"),
                    "{document}: {}",
                    response.text
                );
                assert_eq!(response.header("www-authenticate"), "Bearer");
            }
            let login = HttpResponse::of(with(api.query("mutation { consumerLogin }"))).await;
            assert_eq!((login.status, login.json()), (200, json!({ "data": { "consumerLogin": "a token" } })));
            let batch = json!([{ "query": "mutation { consumerLogin }" }, { "query": "mutation { touch }" }]);
            let batch = HttpResponse::of(with(api.post(batch.to_string()))).await;
            assert_eq!((batch.status, &*batch.code()), (401, "UNAUTHENTICATED"));
        }
    }
    assert_eq!(api.touched(), 0);
}

#[tokio::test]
async fn the_responses_of_a_batch_are_in_the_order_of_its_requests() {
    let api = Api::start(&["--batch-limit", "4"]).await;
    let touch = json!({ "query": "mutation { touch }" });
    let mixed = json!([touch, { "query": "{" }, { "query": "subscription { ticks }" }, touch]);
    let response = HttpResponse::of(api.post(mixed.to_string()).header("accept", GRAPHQL)).await;
    let parts = response.json();
    assert_eq!((response.status, parts.as_array().map(Vec::len)), (200, Some(4)), "{}", response.text);
    assert_eq!((&parts[0], &parts[3]), (&json!({ "data": { "touch": 1 } }), &json!({ "data": { "touch": 2 } })));
    assert_eq!(parts[1]["errors"][0]["extensions"]["code"], "GRAPHQL_PARSE_FAILED");
    assert_eq!(parts[2]["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    let alike = json!([{ "query": "{ away }" }, { "query": "{ away }" }]);
    assert_eq!(HttpResponse::of(api.post(alike.to_string())).await.status, 503);
    let long = HttpResponse::of(api.post(Value::from(vec![touch.clone(); 5]).to_string())).await;
    assert_eq!((long.status, &*long.code()), (413, "PAYLOAD_TOO_LARGE"));
    let crooked = HttpResponse::of(api.post(json!([touch, 7]).to_string())).await;
    assert_eq!((crooked.status, &*crooked.code()), (400, "BAD_USER_INPUT"));
    assert_eq!(api.touched(), 2);
}

#[tokio::test]
async fn pages_of_other_origins_cannot_call() {
    let (evil, shop) = ("https://evil.example", "https://shop.example");
    let api = Api::start(&["--allowed-origins", shop]).await;
    let preflight = |api: &Api, origin: &str| {
        let request = api.request(Method::OPTIONS, "/graphql").header("origin", origin);
        request
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
    };
    let response = HttpResponse::of(preflight(&api, shop)).await;
    assert_eq!((response.status, response.header("access-control-allow-origin")), (200, shop));
    assert_eq!(response.header("access-control-allow-headers"), "authorization,content-type");
    assert_eq!(response.header("access-control-allow-credentials"), "");
    assert_eq!(HttpResponse::of(preflight(&api, evil)).await.header("access-control-allow-origin"), "");

    // In development anonymous callers may do everything, so requests of foreign pages are refused.
    let open = Api::start_in(&[], true).await;
    let local = "http://localhost:3000";
    assert_eq!(HttpResponse::of(preflight(&open, local)).await.header("access-control-allow-origin"), local);
    for (name, value) in [("origin", evil), ("origin", "null"), ("host", "evil.example:4000")] {
        // WebSockets are not subject to CORS: a page may open one to any address.
        let upgrade =
            open.request(Method::GET, "/graphql").header("connection", "upgrade").header("upgrade", "websocket");
        for request in [open.query("mutation { touch }"), open.get("{ hello }"), upgrade] {
            let response = HttpResponse::of(request.header(name, value)).await;
            assert_eq!((response.status, &*response.code()), (403, "FORBIDDEN"), "{name}: {value}");
        }
    }
    assert_eq!(open.touched(), 0);
    assert_eq!(HttpResponse::of(open.query("mutation { touch }").header("origin", local)).await.status, 200);
}

#[tokio::test]
async fn health_metrics_time_and_the_page_are_served() {
    let api = Api::start(&[]).await;
    let at = |path: &str| api.request(Method::GET, path);
    assert_eq!(HttpResponse::of(at("/live")).await.status, 200);
    // The report without the ages, which are the seconds that this test takes.
    let report_of = |response: &HttpResponse| {
        let mut report = response.json();
        let report = report.as_object_mut().unwrap();
        for age in ["logAgeMs", "timersAgeMs"] {
            assert!(report.remove(age).is_some_and(|age| age.as_u64().is_some_and(|age| age < 60_000)));
        }
        (response.status, Value::Object(report.clone()))
    };
    let passed = |but: &str| {
        let check = |name: &str| (name != but) == (name != "draining");
        let names = ["database", "listener", "timers", "tasks", "draining"];
        let mut report: Map<String, Value> =
            names.map(|name| (name.to_owned(), json!(check(name)))).into_iter().collect();
        report.insert("ready".to_owned(), json!(but.is_empty()));
        Value::Object(report)
    };
    let ready = HttpResponse::of(at("/ready")).await;
    assert_eq!(report_of(&ready), (200, passed("")));
    api.listener.send_replace(false);
    let disconnected = HttpResponse::of(at("/ready")).await;
    assert_eq!(report_of(&disconnected), (503, passed("listener")));
    api.listener.send_replace(true);
    api.tasks.send_replace(Some(Failure { task: "reader", reason: "ended".to_owned() }));
    let broken = HttpResponse::of(at("/ready")).await;
    assert_eq!(report_of(&broken), (503, passed("tasks")));

    let now = HttpResponse::of(at("/api/time")).await.json();
    let now = time::OffsetDateTime::parse(now.as_str().unwrap(), &time::format_description::well_known::Rfc3339);
    assert!((time::OffsetDateTime::now_utc() - now.unwrap()).abs() < Duration::MINUTE);

    let unknown = HttpResponse::of(at("/secret/path?token=x").header("x-request-id", "abc-1")).await;
    assert_eq!((unknown.status, &*unknown.code(), unknown.header("x-request-id")), (404, "NOT_FOUND", "abc-1"));
    let forged = HttpResponse::of(at("/live").header("x-request-id", "a b{}")).await;
    assert!(forged.header("x-request-id").parse::<Uuid>().is_ok());

    let metrics = HttpResponse::of(at("/metrics")).await.text;
    for part in [
        "switchboard_http_requests_total{route=\"/live\",method=\"GET\",status=\"200\"}",
        "switchboard_http_requests_total{route=\"unknown\",method=\"GET\",status=\"404\"}",
        "switchboard_http_request_duration_seconds_bucket{route=\"/ready\",le=",
        "switchboard_http_requests_in_flight",
        "process_resident_memory_bytes",
        "switchboard_build_info{version=",
    ] {
        assert!(metrics.contains(part), "{part} in:\n{metrics}");
    }

    let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
    for path in ["/", "/graphql"] {
        let page = HttpResponse::of(at(path).header("accept", browser)).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        // The console, or the plain page where the console was not built.
        assert!(page.text.contains("<title>Switchboard</title>"), "{}", page.text);
        assert!(page.header("content-security-policy").starts_with("default-src 'none'; "));
        assert_eq!(page.header("x-frame-options"), "DENY");
    }
    let query = HttpResponse::of(api.get("{ hello }").header("accept", browser)).await;
    assert_eq!(query.header("content-type"), "application/json; charset=utf-8");
}

#[tokio::test]
async fn both_paths_open_sockets_that_close_when_the_server_drains() {
    let api = Api::start(&[]).await;
    for path in ["/graphql", "/graphql/ws"] {
        let headless = api.request(Method::GET, path).header("connection", "upgrade").header("upgrade", "websocket");
        let refused = HttpResponse::of(headless).await;
        assert_eq!((refused.status, &*refused.code()), (400, "BAD_USER_INPUT"), "{}", refused.text);
    }
    let mut sockets = Vec::new();
    for path in ["/graphql", "/graphql/ws"] {
        let mut request = format!("{}{path}", api.origin.replace("http", "ws")).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": "subscription { ticks }" } });
        socket.send("{\"type\":\"connection_init\"}".into()).await.unwrap();
        let mut types = Vec::new();
        while types.last().is_none_or(|kind| kind != "complete") {
            let message: Value =
                serde_json::from_str(socket.next().await.unwrap().unwrap().to_text().unwrap()).unwrap();
            if message["type"] == "connection_ack" {
                socket.send(subscribe.to_string().into()).await.unwrap();
            }
            types.push(message["type"].as_str().unwrap().to_owned());
        }
        assert_eq!(types, ["connection_ack", "next", "next", "next", "complete"]);
        sockets.push(socket);
    }
    api.shutdown.drain.cancel();
    for mut socket in sockets {
        let Some(Ok(Message::Close(Some(frame)))) = socket.next().await else { panic!("a close frame") };
        assert_eq!(u16::from(frame.code), 1001);
        let _ = socket.close(None).await;
        while socket.next().await.is_some_and(|message| message.is_ok()) {}
    }
    // No task of theirs remains.
    timeout(std::time::Duration::from_secs(5), api.shutdown.tasks.wait()).await.unwrap();
}
