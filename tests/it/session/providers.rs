//! Providers: scores shared by all sessions, and the company's list.

use serde_json::{Value, json};
use switchboard::{
    demo,
    platform::auth::{Role, token::Claims},
};

use super::{recover, select, state};
use crate::support::app::{Node, TestApp, service, token};

const LIST: &str = "{ sessionProviders { name rank state score sessions failures version } }";
const SET: &str =
    "mutation($providers: [SessionProviderInput!]!) { setSessionProviders(input: {providers: $providers}) {
    providers { name rank state } } }";
const CHANGED: &str = "subscription { sessionProviderChanged { operation record { name rank state score } } }";

fn admin() -> String {
    token(&Claims { role: Role::Admin, ..Claims::service(demo::COMPANY_ID, "boss") })
}

fn list(names: &[&str]) -> Value {
    let providers: Vec<Value> = names.iter().map(|name| json!({ "name": name, "enabled": true })).collect();
    json!({ "providers": providers })
}

/// A session chooses `daily` and it fails there.
async fn fail(node: &Node, session: &str) {
    select(node, session, "ann", "daily").await;
    recover(node, session, "ann", "daily", Some(1), "FAILURE").await;
}

#[tokio::test]
async fn a_provider_that_fails_widely_is_avoided_then_tried_by_one() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let mut stream = node.subscribe(&service(), CHANGED, json!({})).await;
    stream.ready().await;
    for n in 0..4 {
        fail(&node, &format!("f{n}")).await;
    }
    stream.until(|event| event["record"]["name"] == "daily" && event["record"]["state"] == "AVOIDED").await;
    assert_eq!(select(&node, "new", "ann", "daily").await["provider"], "p2p", "another is usable");
    let providers = node.data(&service(), LIST, json!({})).await;
    assert_eq!((&providers[0]["failures"], &providers[1]["sessions"]), (&json!(4), &json!(5)));

    app.advance(61).await;
    stream.until(|event| event["record"]["state"] == "PROBING").await;
    assert_eq!(select(&node, "probe", "ann", "daily").await["provider"], "daily", "one session tries it");
    assert_eq!(select(&node, "second", "ann", "daily").await["provider"], "p2p", "the others do not");
    state(&node, "probe", "ann", "CONNECTED", "daily").await;
    let usable = stream.until(|event| event["record"]["name"] == "daily" && event["record"]["state"] == "USABLE").await;
    assert_eq!(usable.last().unwrap()["record"]["score"], 60.0);
    node.stop().await;
}

#[tokio::test]
async fn the_list_is_set_at_run_time() {
    let app = TestApp::new().await;
    let nodes = [app.node().await, app.node().await];
    select(&nodes[0], "old", "ann", "daily").await;
    let mut stream = nodes[1].subscribe(&service(), CHANGED, json!({})).await;
    assert_eq!(stream.ready().await.len(), 2);
    let set = nodes[0].data(&admin(), SET, list(&["zoom", "p2p"])).await;
    let states: Vec<_> = set["providers"].as_array().unwrap().iter().map(|one| (&one["name"], &one["state"])).collect();
    assert_eq!(states[0], (&json!("zoom"), &json!("USABLE")));
    assert!(states.contains(&(&json!("daily"), &json!("DISABLED"))));
    stream.until(|event| event["operation"] == "INSERT" && event["record"]["name"] == "zoom").await;
    assert_eq!(select(&nodes[1], "new", "ann", "daily").await["provider"], "zoom", "a disabled one is never chosen");
    assert_eq!(select(&nodes[1], "old", "bob", "zoom").await["provider"], "daily", "sessions on it stay");
    // And never recovered to.
    let moved = recover(&nodes[0], "new", "ann", "zoom", Some(1), "FAILURE").await;
    assert_eq!(moved["newProvider"], "p2p");
    for bad in [list(&[]), list(&["a", "a"]), list(&["A"]), list(&["none"]), list(&[&"x".repeat(65)])] {
        assert_eq!(nodes[0].code(&admin(), SET, bad).await, "BAD_USER_INPUT");
    }
    assert_eq!(nodes[0].code(&service(), SET, list(&["daily"])).await, "FORBIDDEN");
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn no_enabled_provider_is_a_conflict() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let off = json!({ "providers": [{ "name": "daily", "enabled": false }] });
    node.data(&admin(), SET, off).await;
    let input = super::choice("s", "ann", "daily");
    assert_eq!(node.code(&service(), super::SELECT, input).await, "CONFLICT");
    let made: i64 =
        sqlx::query_scalar("select count(*) from session_coordination").fetch_one(&mut app.sql().await).await.unwrap();
    assert_eq!(made, 0);
    node.stop().await;
}

#[tokio::test]
async fn sessions_are_listed_for_operators() {
    let app = TestApp::new().await;
    let node = app.node().await;
    for n in 0..5 {
        select(&node, &format!("s{n}"), "ann", if n == 0 { "p2p" } else { "daily" }).await;
    }
    let page = "query($after: String, $provider: String) { sessions(active: true, provider: $provider, first: 3, after: $after) {
        nodes { sessionId } pageInfo { hasNextPage endCursor } } }";
    let first = node.data(&service(), page, json!({})).await;
    assert_eq!(first["nodes"][0]["sessionId"], "s4", "newest first");
    let second = node.data(&service(), page, json!({ "after": first["pageInfo"]["endCursor"] })).await;
    assert_eq!(second["nodes"], json!([{ "sessionId": "s1" }, { "sessionId": "s0" }]));
    assert_eq!(second["pageInfo"]["hasNextPage"], false);
    let on_p2p = node.data(&service(), page, json!({ "provider": "p2p" })).await;
    assert_eq!(on_p2p["nodes"], json!([{ "sessionId": "s0" }]));
    node.stop().await;
}
