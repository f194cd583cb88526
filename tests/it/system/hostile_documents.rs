//! Hostile GraphQL documents and bodies against a running server.

use std::{fmt::Write as _, time::Duration};

use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::support::app::{TestApp, service};

/// Far more than a refusal takes, far less than running the document would.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A document of less than 800 bytes that doubles at each of its fragments: four million fields.
fn nest() -> String {
    let mut document = "{contracts{...A}}".to_owned();
    for (name, next) in ('A'..='V').zip('B'..='W') {
        let _ = write!(document, "fragment {name} on Contract{{...{next} ...{next}}}");
    }
    document.push_str("fragment W on Contract{id}");
    assert!(document.len() < 800);
    document
}

#[tokio::test]
async fn hostile_documents_are_refused_at_once_and_others_are_served_meanwhile() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let service = service();
    let many = |part: &str, count: usize| part.repeat(count);
    let aliases: Vec<String> = (0..1_000).map(|number| format!("a{number}:currentShift")).collect();
    let cases = [
        ("a nest of fragments", nest(), "QUERY_TOO_COMPLEX"),
        ("a flood of __typename", format!("{{viewer{{{}}}}}", many("__typename ", 4_500)), "QUERY_TOO_COMPLEX"),
        ("a flood of aliases", format!("{{{}}}", aliases.join(" ")), "QUERY_TOO_COMPLEX"),
        ("depth", many("{a", 5_000) + &many("}", 5_000), "QUERY_TOO_COMPLEX"),
        ("directives", format!("{{viewer {} {{id}}}}", many("@include(if:true)", 500)), "QUERY_TOO_COMPLEX"),
        ("pages of pages", "{events(subjectId:\"x\",first:100){nodes{type}} website(id:\"5b000000-0000-7000-8000-000000000002\"){contracts{agent{name}}}}".to_owned(), ""),
        ("a long document", format!("{{viewer{{id}}}} #{}", many("x", 900_000)), "PAYLOAD_TOO_LARGE"),
        ("no GraphQL", "{".to_owned(), "GRAPHQL_PARSE_FAILED"),
        ("an unknown field", "{password}".to_owned(), "GRAPHQL_VALIDATION_FAILED"),
    ];
    for (what, document, code) in cases {
        let begun = Instant::now();
        let (answer, live) = tokio::join!(node.run(&service, &document, json!({})), node.status("/live"));
        assert!(begun.elapsed() < AT_ONCE, "{what}: {:?}", begun.elapsed());
        assert_eq!((answer.code(), live), (code, 200), "{what}: {answer:?}");
        let expected = match code {
            "" => 200,
            "PAYLOAD_TOO_LARGE" => 413,
            _ => 400,
        };
        assert_eq!(answer.status, expected, "{what}");
    }
    let mut socket = node.socket(&service).await;
    socket.send(json!({ "type": "subscribe", "id": "nest", "payload": { "query": nest() } })).await;
    let refused = timeout(AT_ONCE, socket.next()).await.expect("at once");
    assert_eq!(
        (&refused["type"], &refused["payload"][0]["extensions"]["code"]),
        (&json!("error"), &json!("QUERY_TOO_COMPLEX"))
    );
}

#[tokio::test]
async fn bad_bodies_get_their_status() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let service = service();
    for malformed in [
        "",
        "{",
        "[",
        "{\"query\":",
        "nonsense",
        "{\"query\":1}",
        "{\"query\":\"{viewer{id}}\",\"variables\":3}",
        "[]",
        "\u{0}",
    ] {
        let answer = node.post(&service, malformed).await.unwrap();
        assert_eq!(answer.status, 400, "{malformed:?}: {answer:?}");
        assert_eq!(answer.code(), "BAD_USER_INPUT", "{malformed:?}");
    }
    // Ten megabytes: refused by their announced length; the answer may come while the client is still sending.
    let large = format!("{{\"query\":\"{{viewer{{id}}}}{}\"}}", " ".repeat(10 << 20));
    let begun = Instant::now();
    if let Ok(answer) = node.post(&service, large).await {
        assert_eq!((answer.status, answer.code()), (413, "PAYLOAD_TOO_LARGE"));
    }
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    assert_eq!(node.status("/live").await, 200);
}
