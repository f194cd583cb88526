//! A call gets a slot or a place, once; a freed slot is given away in the same transaction.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    BEGIN, CANCEL, COMPLETE, DISPATCHED, HANG_UP, INITIATE, REPORT, STATUS, call, call_of, direct, end, initiate, item,
    item_of,
};
use crate::support::app::{TestApp, service};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_waits_and_a_freed_slot_is_given_away_at_once() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    let mut dialer = two.subscribe(&token, DISPATCHED, json!({})).await;
    assert_eq!(dialer.ready().await, Vec::<Value>::new());
    let mut started = Vec::new();
    for _ in 0..2 {
        let answer = initiate(&one, &token, direct("user")).await;
        assert_eq!((&answer["admission"], &answer["reason"]), (&json!("STARTED"), &Value::Null));
        assert_eq!((&answer["call"]["status"], &answer["queueItem"]), (&json!("RESERVED"), &Value::Null));
        assert_eq!(answer["call"]["phoneNumber"], "+14155552671");
        assert!(answer["call"]["leaseExpiresAt"].is_string());
        started.push(call_of(&answer));
    }
    let mut waiting = Vec::new();
    for place in 1..=2 {
        let answer = initiate(&two, &token, direct("user")).await;
        assert_eq!(answer["admission"], "QUEUED");
        assert_eq!(answer["reason"], "User at concurrency limit - direct call should be queued");
        assert_eq!(answer["totalInQueue"], place);
        let item = &answer["queueItem"];
        assert_eq!(
            (&item["position"], &item["positionInType"], &item["priority"]),
            (&json!(place), &json!(place), &json!(100))
        );
        assert_eq!((&item["call"]["status"], &item["call"]["version"]), (&json!("QUEUED"), &json!(1)));
        assert_eq!(item["callId"], answer["call"]["id"]);
        waiting.push(answer);
    }
    let status = one.data(&token, STATUS, json!({ "user": "user" })).await;
    assert_eq!(status["directCalls"]["queued"], 2);
    assert_eq!((&status["directCalls"]["processing"], &status["directCalls"]["total"]), (&json!(2), &json!(4)));
    assert_eq!(status["directCalls"]["nextCall"]["id"], waiting[0]["queueItem"]["id"]);
    assert_eq!(dialer.events(2).await.len(), 2);
    // The answer of the report is the end of the transaction: the slot has a new owner.
    assert_eq!(end(&one, &token, &started[0]).await["outcome"], "APPLIED");
    let next = call(&two, &token, &call_of(&waiting[0])).await;
    assert_eq!((&next["status"], &next["version"]), (&json!("RESERVED"), &json!(2)));
    assert_eq!(next["queueItem"]["status"], "PROCESSING");
    let event = dialer.event().await;
    assert_eq!(event["operation"], "DELETE", "the call that was never dialled has ended: {event}");
    let event = dialer.event().await;
    assert_eq!((&event["operation"], &event["record"]["id"]), (&json!("INSERT"), &next["id"]));
    let moved = item(&one, &token, &item_of(&waiting[1])).await;
    assert_eq!((&moved["position"], &moved["status"]), (&json!(1), &json!("QUEUED")));
    let gone = item(&one, &token, &item_of(&waiting[0])).await;
    assert_eq!((&gone["position"], &gone["status"]), (&Value::Null, &json!("PROCESSING")));
    end(&one, &token, &call_of(&waiting[0])).await;
    assert_eq!(item(&one, &token, &item_of(&waiting[0])).await["status"], "COMPLETED");
    // A dialer that comes later finds what is to be dialled.
    let mut late = one.subscribe(&token, DISPATCHED, json!({})).await;
    assert_eq!(late.ready().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_with_the_same_key_gets_the_same_answer() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let (nodes, token) = ([&one, &two], service());
    let keyed = |user: &str, key: &str| {
        let mut input = direct(user);
        input["idempotencyKey"] = json!(key);
        input
    };
    for key in ["first", "second", "third"] {
        let answers = join_all((0..20).map(|n| initiate(nodes[n % 2], &token, keyed("user", key)))).await;
        assert!(answers.iter().all(|answer| answer["call"]["id"] == answers[0]["call"]["id"]), "{answers:?}");
        assert!(answers.iter().all(|answer| answer["admission"] == answers[0]["admission"]));
    }
    let status = one.data(&token, STATUS, json!({ "user": "user" })).await;
    assert_eq!((&status["directCalls"]["processing"], &status["directCalls"]["queued"]), (&json!(2), &json!(1)));
    assert_eq!(one.code(&token, INITIATE, json!({ "input": keyed("other", "third") })).await, "IDEMPOTENCY_MISMATCH");
}

#[tokio::test]
async fn a_queued_call_is_canceled_once_and_never_dialled() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(initiate(&node, &token, direct("user")).await);
    }
    let cancel = async |id: &str| node.data(&token, CANCEL, json!({ "id": id })).await;
    let canceled = cancel(&item_of(&answers[3])).await;
    assert_eq!(canceled["outcome"], "CANCELED");
    let queued = &canceled["queueItem"];
    assert_eq!((&queued["status"], &queued["position"]), (&json!("CANCELED"), &Value::Null));
    assert_eq!((&queued["call"]["status"], &queued["call"]["endReason"]), (&json!("ENDED"), &json!("CANCELED")));
    assert_eq!(cancel(&item_of(&answers[3])).await["outcome"], "ALREADY_ENDED");
    let places = async |index: usize| item(&node, &token, &item_of(&answers[index])).await["position"].take();
    assert_eq!([places(2).await, places(4).await, places(5).await], [json!(1), json!(2), json!(3)]);
    // Hanging a queued call up, or reporting its end, takes it out of the line. Other work on it is too early.
    let id = call_of(&answers[4]);
    let begin = |kind: &str| json!({ "input": { "callId": id, "kind": kind, "requestId": "r" } });
    assert_eq!(node.code(&token, BEGIN, begin("DIAL")).await, "CONFLICT");
    let ringing = json!({ "input": { "callId": id, "status": "RINGING" } });
    assert_eq!(node.code(&token, REPORT, ringing).await, "CONFLICT");
    let hung_up = node.data(&token, HANG_UP, json!({ "id": id })).await;
    assert_eq!((&hung_up["outcome"], &hung_up["call"]["endReason"]), (&json!("INITIATED"), &json!("CANCELED")));
    assert_eq!(node.data(&token, HANG_UP, json!({ "id": id })).await["outcome"], "ALREADY_ENDED");
    assert_eq!(end(&node, &token, &call_of(&answers[5])).await["outcome"], "APPLIED");
    assert_eq!(places(2).await, json!(1));
    // A dispatched one is hung up instead; undialled, it ends at once and frees its slot.
    let first = call_of(&answers[0]);
    assert_eq!(node.data(&token, HANG_UP, json!({ "id": first })).await["outcome"], "INITIATED");
    assert_eq!(call(&node, &token, &call_of(&answers[2])).await["status"], "RESERVED");
    assert_eq!(cancel(&item_of(&answers[2])).await["outcome"], "ALREADY_DISPATCHED");
    assert_eq!(node.code(&token, CANCEL, json!({ "id": call_of(&answers[0]) })).await, "NOT_FOUND");
}

#[tokio::test]
async fn one_dialer_dials_and_its_failure_frees_the_slot() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(initiate(&node, &token, direct("user")).await);
    }
    let id = call_of(&answers[0]);
    let begin =
        |request: usize| json!({ "input": { "callId": id, "kind": "DIAL", "requestId": format!("r{request}") } });
    let claims = join_all((0..10).map(|request| node.data(&token, BEGIN, begin(request)))).await;
    let won: Vec<&Value> = claims.iter().filter(|begun| begun["outcome"] == "BEGUN").collect();
    assert_eq!(won.len(), 1, "{claims:?}");
    let operation = &won[0]["operation"];
    let complete = json!({ "input": { "operationId": operation["id"], "fencingToken": operation["fencingToken"],
        "succeeded": false } });
    let completed = node.data(&token, COMPLETE, complete).await;
    assert_eq!((&completed["completed"], &completed["callActive"]), (&json!(true), &json!(false)));
    assert_eq!(call(&node, &token, &id).await["endReason"], "FAILED");
    assert_eq!(call(&node, &token, &call_of(&answers[2])).await["status"], "RESERVED");
}

#[tokio::test]
async fn bad_input_is_refused_and_leaves_nothing() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let long = "x".repeat(201);
    for (field, value) in [
        ("phoneNumber", json!("4155552671")),
        ("phoneNumber", json!("+1")),
        ("phoneNumber", Value::Null),
        ("userId", json!("")),
        ("agentId", json!("")),
        ("userId", json!(long)),
        ("contactName", json!("")),
        ("idempotencyKey", json!("")),
        ("userData", json!({ "text": "x".repeat(16_384) })),
    ] {
        let mut input = direct("user");
        input[field] = value.clone();
        assert_eq!(node.code(&token, INITIATE, json!({ "input": input })).await, "BAD_USER_INPUT", "{field} {value}");
    }
    let status = node.data(&token, STATUS, json!({ "user": "user" })).await;
    assert_eq!(status["directCalls"]["total"], 0);
}
