//! `callStatus`, `callDispatched` and `callHangUps`: what an operator and a dialer are shown, and resumes.

use serde_json::{Value, json};
use switchboard::{call, platform::unit::UnitOfWork};

use super::{HANG_UPS, REPORT, hang_up, register, report};
use crate::support::{
    app::{Node, TestApp, service},
    client::Subscription,
};
use std::time::Duration;

const OF_USER: &str = "subscription($user: ID, $after: Cursor) { callStatus(userId: $user, after: $after) {
    operation resync cursor record { id status userId } } }";

async fn register_for(node: &Node, token: &str, name: &str, user: &str) -> Value {
    let input = json!({ "callControlId": name, "userId": user, "agentId": "agent" });
    node.data(token, super::REGISTER, json!({ "input": input })).await["call"]["id"].take()
}

/// Operation, id and status of the next changes.
async fn changes(stream: &mut Subscription, count: usize) -> Vec<(String, Value, Value)> {
    let events = stream.events(count).await;
    let change = |event: &Value| {
        let record = &event["record"];
        (event["operation"].as_str().unwrap().to_owned(), record["id"].clone(), record["status"].clone())
    };
    events.iter().map(change).collect()
}

#[tokio::test]
async fn a_stream_of_one_user_resumes_with_what_it_missed_and_nothing_else() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    let own = register_for(&node, &token, "v3:own", "ada").await;
    register_for(&node, &token, "v3:other", "ben").await;
    let mut stream = node.subscribe(&token, OF_USER, json!({ "user": "ada" })).await;
    let begun = stream.until(|event| event["operation"] == "READY").await;
    assert_eq!((begun.len(), &begun[0]["record"]["id"]), (2, &own));
    let cursor = begun[1]["cursor"].clone();
    drop(stream);
    report(&node, &token, "v3:other", "IN_PROGRESS", json!({})).await;
    report(&node, &token, "v3:own", "IN_PROGRESS", json!({})).await;
    let second = register_for(&node, &token, "v3:second", "ada").await;
    let mut resumed = node.subscribe(&token, OF_USER, json!({ "user": "ada", "after": cursor })).await;
    let missed = resumed.until(|event| event["operation"] == "READY").await;
    let missed: Vec<(&Value, &Value)> =
        missed.iter().map(|event| (&event["operation"], &event["record"]["id"])).collect();
    assert_eq!(missed, [(&json!("UPDATE"), &own), (&json!("INSERT"), &second), (&json!("READY"), &Value::Null)]);
}

#[tokio::test]
async fn an_operator_sees_every_call_and_a_filter_tells_when_a_call_leaves_it() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    let ringing = "subscription { callStatus(status: RINGING) { operation record { id status operations { id } } } }";
    let mut all = node.subscribe(&token, OF_USER, json!({})).await;
    let mut filtered = node.subscribe(&token, ringing, json!({})).await;
    assert!(all.ready().await.is_empty() && filtered.ready().await.is_empty());
    let id = register(&node, &token, "v3:one").await;
    report(&node, &token, "v3:one", "IN_PROGRESS", json!({})).await;
    report(&node, &token, "v3:one", "ENDED", json!({})).await;
    let (id, status) = (json!(id), |status: &str| json!(status));
    assert_eq!(
        changes(&mut all, 3).await,
        [
            ("INSERT".to_owned(), id.clone(), status("RINGING")),
            ("UPDATE".to_owned(), id.clone(), status("IN_PROGRESS")),
            ("UPDATE".to_owned(), id.clone(), status("ENDED")),
        ]
    );
    assert_eq!(
        changes(&mut filtered, 2).await,
        [
            ("INSERT".to_owned(), id.clone(), status("RINGING")),
            ("DELETE".to_owned(), id.clone(), status("IN_PROGRESS"))
        ]
    );
    let mut late = node.subscribe(&token, OF_USER, json!({})).await;
    assert!(late.ready().await.is_empty(), "a call that has ended is not part of the present state");
}

#[tokio::test]
async fn a_call_that_was_given_up_and_is_heard_of_later_is_hung_up() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    let begin = "mutation($input: BeginCallOperationInput!) { beginCallOperation(input: $input) { outcome } }";
    let hang_up_of = |id: &Value| json!({ "input": { "callId": id, "kind": "HANG_UP", "requestId": "dialer" } });
    let id = json!(register(&node, &token, "v3:quiet").await);
    let at = |time: &str| json!({ "occurredAt": format!("2026-11-21T10:{time}Z") });
    let mut given_up = at("10:00");
    given_up["endReason"] = json!("LEASE_EXPIRED");
    report(&node, &token, "v3:quiet", "ENDED", given_up).await;
    let mut dialer = node.subscribe(&token, HANG_UPS, json!({})).await;
    assert!(dialer.ready().await.is_empty());
    let earlier = report(&node, &token, "v3:quiet", "IN_PROGRESS", at("09:00")).await;
    assert_eq!(earlier["call"]["pendingHangUp"], false, "that it lived before is no news");
    assert_eq!(node.data(&token, begin, hang_up_of(&id)).await["outcome"], "CALL_ENDED");
    let later = report(&node, &token, "v3:quiet", "IN_PROGRESS", at("11:00")).await;
    assert_eq!(
        (&later["outcome"], &later["call"]["status"], &later["call"]["pendingHangUp"]),
        (&json!("APPLIED"), &json!("ENDED"), &json!(true))
    );
    let told = dialer.event().await;
    assert_eq!((&told["operation"], &told["record"]["id"]), (&json!("INSERT"), &id));
    let mut late = node.subscribe(&token, HANG_UPS, json!({})).await;
    assert_eq!(late.ready().await.len(), 1, "part of the present state too");
    assert_eq!(node.data(&token, begin, hang_up_of(&id)).await["outcome"], "BEGUN");
    assert_eq!(dialer.event().await["operation"], "DELETE");
    assert_eq!(hang_up(&node, &token, "v3:quiet").await["outcome"], "ALREADY_ENDED");
}

#[tokio::test]
async fn a_finalized_call_still_ends_and_then_keeps_everything() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    register(&node, &token, "v3:one").await;
    hang_up(&node, &token, "v3:one").await;
    let finalize = "mutation($input: FinalizeCallInput!) { finalizeCall(input: $input) { outcome } }";
    node.data(&token, finalize, json!({ "input": { "callControlId": "v3:one" } })).await;
    let ended = |reason: &str, second: i32| json!({ "endReason": reason, "occurredAt": format!("2026-11-21T10:00:{second:02}Z") });
    let first = report(&node, &token, "v3:one", "ENDED", ended("BUSY", 9)).await;
    assert_eq!((&first["outcome"], &first["call"]["endReason"]), (&json!("APPLIED"), &json!("BUSY")));
    let earlier = report(&node, &token, "v3:one", "ENDED", ended("FAILED", 1)).await;
    assert_eq!((&earlier["outcome"], &earlier["call"]["endReason"]), (&json!("STALE"), &json!("BUSY")));
}

#[tokio::test]
async fn parked_news_is_bounded_and_forgotten_after_an_hour() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--call-news", "3"]).await;
    let token = service();
    for name in ["v3:a", "v3:b", "v3:c"] {
        assert_eq!(report(&node, &token, name, "RINGING", json!({})).await["outcome"], "PARKED");
    }
    let fourth = json!({ "input": { "callControlId": "v3:d", "status": "RINGING" } });
    assert_eq!(node.code(&token, REPORT, fourth).await, "RATE_LIMITED");
    register(&node, &token, "v3:a").await;
    assert_eq!(hang_up(&node, &token, "v3:d").await["outcome"], "PARKED", "the known one's news is gone");
    let mut sql = app.sql().await;
    let work: UnitOfWork = app.database.work();
    app.advance(3_590).await;
    call::prune(&work, Duration::from_hours(1)).await.unwrap();
    let count = "select (select count(*) from call_news), (select count(*) from call_name)";
    let left: (i64, i64) = sqlx::query_as(count).fetch_one(&mut sql).await.unwrap();
    assert_eq!(left, (3, 4), "news of b, c and d; the name of a too");
    app.advance(3_700).await;
    call::prune(&work, Duration::from_hours(1)).await.unwrap();
    let left: (i64, i64) = sqlx::query_as(count).fetch_one(&mut sql).await.unwrap();
    assert_eq!(left, (0, 1), "a name that a call has is kept");
    work.close().await;
}
