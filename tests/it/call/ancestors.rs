//! The failures of the ancestor, each as the interleaving that it shipped with.

use serde_json::{Value, json};

use super::{ACTIVE, CALL, HANG_UP, HANG_UPS, SCHEDULE, activity, hang_up, register, registration, report};
use crate::support::{
    app::{TestApp, service},
    process::Process,
};

const BEGIN: &str =
    "mutation($input: BeginCallOperationInput!) { beginCallOperation(input: $input) { outcome operation {
    id fencingToken } } }";
const DONE: &str = "mutation($input: CompleteCallOperationInput!) { completeCallOperation(input: $input) {
    completed callActive } }";

fn speech(request: &str, lease_ms: i32) -> Value {
    json!({ "input": { "callControlId": "v3:one", "kind": "SPEECH", "requestId": request, "leaseMs": lease_ms } })
}

fn done(operation: &Value) -> Value {
    json!({ "input": { "operationId": operation["id"], "fencingToken": operation["fencingToken"] } })
}

#[tokio::test]
async fn the_clean_up_of_one_request_does_not_remove_the_entry_of_another() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    register(&one, &token, "v3:one").await;
    let first = one.data(&token, BEGIN, speech("first", 30_000)).await["operation"].take();
    // The first one is paused past its lease, and the second one begins.
    app.advance(31).await;
    let second = two.data(&token, BEGIN, speech("second", 600_000)).await;
    assert_eq!(second["outcome"], "BEGUN");
    // Now the first one cleans up after itself.
    assert_eq!(one.data(&token, DONE, done(&first)).await["completed"], false);
    assert_eq!(one.data(&token, BEGIN, speech("third", 30_000)).await["outcome"], "ALREADY_RUNNING");
    assert_eq!(two.data(&token, DONE, done(&second["operation"])).await["completed"], true);
}

#[tokio::test]
async fn a_hang_up_report_that_comes_before_ringing_ends_the_call_all_the_same() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    let at = |seconds: i32| json!({ "occurredAt": format!("2026-11-21T10:00:{seconds:02}Z") });
    let mut ended = at(30);
    ended["endReason"] = json!("BUSY");
    assert_eq!(report(&one, &token, "v3:early", "ENDED", ended).await["outcome"], "PARKED");
    assert_eq!(two.data(&token, ACTIVE, json!({ "name": "v3:early" })).await["reason"], "UNKNOWN_CALL");
    let id = register(&two, &token, "v3:early").await;
    let late = report(&one, &token, "v3:early", "RINGING", at(10)).await;
    assert_eq!((&late["call"]["status"], &late["call"]["endReason"]), (&json!("ENDED"), &json!("BUSY")));
    assert_eq!(one.data(&token, CALL, json!({ "id": id })).await["status"], "ENDED");
    assert_eq!(activity(&two, &token, "v3:early").await, (false, json!("ENDED")));
}

#[tokio::test]
async fn what_a_server_has_answered_is_stored_before_it_is_killed() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    for round in 0..3 {
        let doomed = Process::serve(&app.database.url(), &[]).await;
        let name = format!("v3:{round}");
        doomed.client.data(&token, super::REGISTER, registration(&name)).await;
        let told = report(&doomed.client, &token, &name, "IN_PROGRESS", json!({})).await;
        assert_eq!(told["outcome"], "APPLIED");
        doomed.kill().await;
        assert_eq!(node.data(&token, CALL, json!({ "name": name })).await["status"], "IN_PROGRESS");
    }
}

#[tokio::test]
async fn a_restart_loses_neither_a_pending_hang_up_nor_a_timer() {
    let app = TestApp::new().await;
    let token = service();
    let doomed = Process::serve(&app.database.url(), &[]).await;
    for name in ["v3:pending", "v3:timed"] {
        doomed.client.data(&token, super::REGISTER, registration(name)).await;
    }
    let pending = hang_up(&doomed.client, &token, "v3:pending").await;
    assert_eq!(pending["outcome"], "INITIATED");
    let later = json!({ "input": { "callControlId": "v3:timed", "afterMs": 30_000, "reason": "silence" } });
    doomed.client.data(&token, SCHEDULE, later).await;
    doomed.kill().await;
    let node = app.node().await;
    let mut dialer = node.subscribe(&token, HANG_UPS, json!({})).await;
    let waiting = dialer.ready().await;
    assert_eq!(waiting.len(), 1);
    assert_eq!(waiting[0]["id"], pending["call"]["id"]);
    app.advance(31).await;
    node.app.waker.wake();
    let timed = dialer.event().await;
    assert_eq!(timed["operation"], "INSERT");
    assert_ne!(timed["record"]["id"], pending["call"]["id"]);
}

#[tokio::test]
async fn a_hang_up_of_a_call_that_is_not_known_yet_is_not_lost() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    assert_eq!(hang_up(&one, &token, "v3:early").await["outcome"], "PARKED");
    let mut dialer = one.subscribe(&token, HANG_UPS, json!({})).await;
    assert_eq!(dialer.ready().await, Vec::<Value>::new());
    let id = register(&two, &token, "v3:early").await;
    let told = dialer.event().await;
    assert_eq!((&told["operation"], &told["record"]["id"]), (&json!("INSERT"), &json!(id)));
    assert_eq!(activity(&one, &token, "v3:early").await, (false, json!("PENDING_HANG_UP")));
    let again = one.data(&token, HANG_UP, json!({ "input": { "callId": id, "reason": "again" } })).await;
    assert_eq!(again["outcome"], "ALREADY_PENDING");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hang_up_reports_during_a_drain_close_a_call_once() {
    // The guard against a second close was set after a wait of up to five seconds, so that both reports went through it.
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    let id = register(&one, &token, "v3:one").await;
    let speaking = one.data(&token, BEGIN, speech("speaking", 30_000)).await["operation"].take();
    let close = "mutation($input: FinalizeCallInput!) { finalizeCall(input: $input) { outcome abandonedOperations } }";
    let report_and_close = async |node: &crate::support::app::Node| {
        report(node, &token, "v3:one", "ENDED", json!({ "endReason": "COMPLETED" })).await;
        node.data(&token, close, json!({ "input": { "callControlId": "v3:one", "drainMs": 5_000 } })).await
    };
    let complete = async {
        let mut sql = app.sql().await;
        let draining = "select count(*) from call where finalize_at is not null and finalized_at is null";
        while sqlx::query_scalar::<_, i64>(draining).fetch_one(&mut sql).await.unwrap() == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        assert_eq!(one.data(&token, DONE, done(&speaking)).await["completed"], true);
    };
    let (first, second, ()) = tokio::join!(report_and_close(&one), report_and_close(&two), complete);
    let mut outcomes = [first["outcome"].as_str().unwrap(), second["outcome"].as_str().unwrap()];
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["ALREADY_FINALIZED", "FINALIZED"]);
    let finalized: i64 =
        sqlx::query_scalar("select count(*) from event where subject_id = $1 and type = 'CallFinalized'")
            .bind(id.to_string())
            .fetch_one(&mut app.sql().await)
            .await
            .unwrap();
    assert_eq!(finalized, 1);
}
