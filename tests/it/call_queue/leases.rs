//! Slots are leases: asked about, then freed; an outage expires none.

use serde_json::json;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::{BEGIN, CONCURRENCY, HANG_UPS, RENEW, call, call_of, direct, end, initiate, item, item_of};
use crate::support::{
    app::{TestApp, service},
    locks,
};

#[tokio::test]
async fn a_silent_slot_is_asked_about_and_after_one_more_lease_freed() {
    let app = TestApp::new().await;
    let (node, token) = (app.node_with(&["--slot-lease", "60s"]).await, service());
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(initiate(&node, &token, direct("user")).await);
    }
    let (silent, renewed) = (call_of(&answers[0]), call_of(&answers[1]));
    // Both were dialled: their end is final.
    for id in [&silent, &renewed] {
        node.data(
            &token,
            BEGIN,
            json!({ "input": { "callId": id, "kind": "DIAL", "requestId": id, "leaseMs": 600_000 } }),
        )
        .await;
    }
    let mut dialer = node.subscribe(&token, HANG_UPS, json!({})).await;
    dialer.ready().await;
    app.advance(61).await;
    node.app.waker.wake();
    let asked = dialer.events(2).await;
    assert!(asked.iter().all(|event| event["operation"] == "INSERT" && event["record"]["pendingHangUp"] == false));
    let answer = node.data(&token, RENEW, json!({ "ids": [renewed, item_of(&answers[2])] })).await;
    assert_eq!((&answer["renewed"], &answer["ended"]), (&json!([renewed]), &json!([item_of(&answers[2])])));
    let event = dialer.event().await;
    assert_eq!((&event["operation"], &event["record"]["id"]), (&json!("DELETE"), &json!(renewed)));
    assert_eq!(call(&node, &token, &call_of(&answers[2])).await["status"], "QUEUED");
    app.advance(122).await;
    node.app.waker.wake();
    let events = dialer.until(|event| event["operation"] == "DELETE").await;
    assert_eq!(events.last().unwrap()["record"]["id"], json!(silent));
    assert_eq!(call(&node, &token, &silent).await["endReason"], "LEASE_EXPIRED");
    assert_eq!(call(&node, &token, &call_of(&answers[2])).await["status"], "RESERVED");
    assert_eq!(call(&node, &token, &renewed).await["endReason"], json!(null));
}

#[tokio::test]
async fn an_outage_expires_no_slot() {
    let app = TestApp::new().await;
    let token = service();
    let id = {
        let node = app.node_with(&["--slot-lease", "60s"]).await;
        let id = call_of(&initiate(&node, &token, direct("user")).await);
        node.stop().await;
        id
    };
    app.advance_without_service(3_600).await;
    let node = app.node_with(&["--slot-lease", "60s"]).await;
    node.app.waker.wake();
    let mut dialer = node.subscribe(&token, HANG_UPS, json!({})).await;
    assert_eq!(dialer.ready().await.len(), 0);
    let lives = call(&node, &token, &id).await;
    assert_eq!(lives["status"], "RESERVED");
    app.advance(3_661).await;
    node.app.waker.wake();
    assert_eq!(dialer.event().await["record"]["id"], json!(id), "from the end of the outage on silence counts");
}

#[tokio::test]
async fn without_a_dialer_an_item_is_tried_again_and_not_lost() {
    let app = TestApp::new().await;
    let (node, token) = (app.node_with(&["--slot-lease", "60s", "--user-calls", "1"]).await, service());
    let first = initiate(&node, &token, direct("user")).await;
    let waiting = initiate(&node, &token, direct("user")).await;
    super::end(&node, &token, &call_of(&first)).await;
    let dispatched = call_of(&waiting);
    assert_eq!(call(&node, &token, &dispatched).await["status"], "RESERVED");
    let mut dialer = node.subscribe(&token, HANG_UPS, json!({})).await;
    dialer.ready().await;
    app.advance(61).await;
    node.app.waker.wake();
    dialer.event().await;
    app.advance(122).await;
    node.app.waker.wake();
    dialer.until(|event| event["operation"] == "DELETE").await;
    let again = item(&node, &token, &item_of(&waiting)).await;
    assert_eq!((&again["status"], &again["call"]["status"]), (&json!("QUEUED"), &json!("QUEUED")));
    assert_ne!(again["callId"], json!(dispatched));
    let mut calls = node.subscribe(&token, super::DISPATCHED, json!({})).await;
    calls.ready().await;
    app.advance(183).await;
    node.app.waker.wake();
    assert_eq!(calls.event().await["record"]["id"], again["callId"]);
}

/// Does something while a transaction has changed all slots, as `renewCalls` and the timer of leases do.
async fn beside<T>(sql: &mut PgConnection, change: &'static str, call: impl Future<Output = T>) -> T {
    let mut transaction = sql.begin().await.unwrap();
    let update = format!("update switchboard.active_calls set {change}");
    sqlx::query(AssertSqlSafe(update)).execute(&mut *transaction).await.unwrap();
    let commit = async {
        locks::until_waiting(&mut transaction, 1).await;
        transaction.commit().await.unwrap();
    };
    tokio::join!(call, commit).0
}

#[tokio::test]
async fn a_slot_that_is_renewed_while_its_call_ends_is_free_afterwards() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let id = call_of(&initiate(&node, &token, direct("user")).await);
    let ended = beside(&mut app.sql().await, "heard_at = switchboard.now()", end(&node, &token, &id)).await;
    assert_eq!(ended["outcome"], "APPLIED");
    let left: i64 = sqlx::query_scalar("select count(*) from switchboard.active_calls")
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    let concurrency = node.data(&token, CONCURRENCY, json!({ "user": "user" })).await;
    assert_eq!((left, &concurrency["active"]), (0, &json!(0)));
}

#[tokio::test]
async fn a_slot_that_is_renewed_while_dialers_are_asked_about_it_is_renewed() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let id = call_of(&initiate(&node, &token, direct("user")).await);
    let renew = node.data(&token, RENEW, json!({ "ids": [id] }));
    let renewed = beside(&mut app.sql().await, "asked_at = switchboard.now()", renew).await;
    assert_eq!(renewed["renewed"], json!([id]));
    let asked: i64 = sqlx::query_scalar("select count(*) from switchboard.active_calls where asked_at is not null")
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert_eq!(asked, 0);
}
