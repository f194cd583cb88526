//! Entering, waiting, completing.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    COMPLETE, complete, complete_with, completion, coordinate, grant, input, refusal, server, until_waiting, watch,
};
use crate::support::app::TestApp;

#[tokio::test]
async fn a_free_line_is_entered_at_once_and_the_same_type_is_refused_in_the_words_of_the_contract() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let backend = server("backend");
    for (call_type, message) in
        [("START_CHAT", "StartChat is already in progress"), ("END_CHAT", "EndChat is already in progress")]
    {
        let chat = format!("chat-{call_type}");
        let held = grant(&one, &backend, input(call_type, "first", &chat)).await;
        assert_eq!(
            (&held["callType"], &held["requestId"], &held["chatId"], &held["heldForMs"]),
            (&json!(call_type), &json!("first"), &json!(chat), &json!(0))
        );
        let token = held["fencingToken"].as_str().unwrap();
        assert!(token.len() == 20 && token.bytes().all(|byte| byte.is_ascii_digit()), "{token}");
        let refused = coordinate(&two, &backend, input(call_type, "second", &chat)).await;
        assert_eq!(refusal(&refused), ("OPERATION_IN_PROGRESS", message));
        assert!(complete(&two, &backend, &held).await);
        let next = grant(&two, &backend, input(call_type, "second", &chat)).await;
        assert!(next["fencingToken"].as_str() > held["fencingToken"].as_str(), "tokens grow");
    }
}

#[tokio::test]
async fn an_opposite_call_waits_and_is_granted_by_the_release() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let backend = server("backend");
    let mut events = watch(&two, &backend, "chat-456").await;
    events.until(|event| event["operation"] == "READY").await;

    let held = grant(&one, &backend, input("END_CHAT", "end", "chat-456")).await;
    let waiting = grant(&two, &backend, input("START_CHAT", "start", "chat-456"));
    let release = async {
        until_waiting(&mut events, 1).await;
        assert!(complete(&one, &backend, &held).await);
    };
    let (granted, ()) = tokio::join!(waiting, release);
    assert_eq!(granted["requestId"], "start");
    assert!(granted["fencingToken"].as_str() > held["fencingToken"].as_str());
    let completed = events.event().await;
    assert_eq!(completed["event"], "StartChatCoordinationHold_Complete");
    assert_eq!(completed["holdReason"], "EndChat completed, proceeding with StartChat");
    assert_eq!(completed["elapsedTimeInMilliseconds"], granted["heldForMs"]);
    assert!(complete(&one, &backend, &granted).await);
}

#[tokio::test]
async fn a_repeat_gets_its_own_grant_and_a_finished_request_is_refused() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let backend = server("backend");
    let first = grant(&one, &backend, input("START_CHAT", "same", "chat-1")).await;
    let again = grant(&two, &backend, input("START_CHAT", "same", "chat-1")).await;
    assert_eq!(first["fencingToken"], again["fencingToken"]);
    assert!(again["leaseExpiresAt"].as_str() > first["leaseExpiresAt"].as_str(), "the lease is renewed");
    assert_eq!(coordinate(&one, &backend, input("END_CHAT", "same", "chat-1")).await.code(), "CONFLICT");
    assert!(complete(&two, &backend, &again).await);
    assert!(!complete(&two, &backend, &again).await, "a second time");
    assert_eq!(coordinate(&one, &backend, input("START_CHAT", "same", "chat-1")).await.code(), "CONFLICT");
    app.advance(601).await;
    grant(&one, &backend, input("START_CHAT", "same", "chat-1")).await;
}

#[tokio::test]
async fn only_the_holder_completes_what_it_holds() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let (backend, other) = (server("backend"), server("other"));
    let held = grant(&node, &backend, input("START_CHAT", "mine", "chat-1")).await;
    let wrong = |field: &str, value: Value| {
        let mut input = completion(&held, true);
        input[field] = value;
        input
    };
    for (field, value) in [
        ("callType", json!("END_CHAT")),
        ("requestId", json!("another")),
        ("chatId", json!("chat-2")),
        ("fencingToken", json!("00000000000000000001")),
        ("fencingToken", json!("stale")),
    ] {
        assert!(!complete_with(&node, &backend, wrong(field, value)).await, "a wrong {field}");
    }
    assert!(!complete(&node, &other, &held).await, "another caller");
    let failed = node.data(&backend, COMPLETE, json!({ "input": completion(&held, false) })).await;
    assert_eq!(failed["completed"], true, "a failed call releases like a successful one");
}

#[tokio::test]
async fn a_wait_that_ends_in_vain_leaves_no_trace_in_the_line() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let backend = server("backend");
    let mut events = watch(&node, &backend, "chat-1").await;
    events.until(|event| event["operation"] == "READY").await;
    let held = grant(&node, &backend, input("START_CHAT", "start", "chat-1")).await;
    let mut at_once = input("END_CHAT", "end", "chat-1");
    at_once["waitMs"] = json!(0);
    assert_eq!(coordinate(&node, &backend, at_once).await.code(), "WAIT_TIMEOUT");
    let mut short = input("END_CHAT", "end", "chat-1");
    short["waitMs"] = json!(50);
    assert_eq!(coordinate(&node, &backend, short).await.code(), "WAIT_TIMEOUT");
    let told = events.events(2).await;
    assert_eq!(told[0]["event"], "EndChatCoordinationHold_Start");
    assert_eq!(told[1]["event"], "EndChatCoordinationHold_Failed");
    assert_eq!(told[1]["holdReason"], "Waiting for StartChat to complete");
    assert!(told[1]["elapsedTimeInMilliseconds"].as_i64() >= Some(50), "{told:?}");
    assert!(complete(&node, &backend, &held).await);
    grant(&node, &backend, input("END_CHAT", "end", "chat-1")).await;
    let mut sql = app.sql().await;
    let waiting: i64 = sqlx::query_scalar("select count(*) from operation_request where place is not null")
        .fetch_one(&mut sql)
        .await
        .unwrap();
    assert_eq!(waiting, 0);
}

#[tokio::test]
async fn a_waiter_whose_client_disconnects_leaves_the_line() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let backend = server("backend");
    let mut events = watch(&node, &backend, "chat-1").await;
    events.until(|event| event["operation"] == "READY").await;
    let held = grant(&node, &backend, input("START_CHAT", "start", "chat-1")).await;
    let mut socket = node.socket(&backend).await;
    let payload = json!({ "query": super::COORDINATE, "variables": { "input": input("END_CHAT", "gone", "chat-1") } });
    socket.send(json!({ "type": "subscribe", "id": "1", "payload": payload })).await;
    until_waiting(&mut events, 1).await;
    drop(socket);
    let left = events.event().await;
    assert_eq!((&left["event"], &left["requestId"]), (&json!("EndChatCoordinationHold_Failed"), &json!("gone")));
    assert!(complete(&node, &backend, &held).await);
    grant(&node, &backend, input("END_CHAT", "next", "chat-1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn waiters_are_granted_in_the_order_in_which_they_came_on_two_servers() {
    const WAITERS: usize = 20;
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let (nodes, backend) = ([&one, &two], server("backend"));
    let mut events = watch(&one, &backend, "chat-1").await;
    events.until(|event| event["operation"] == "READY").await;
    let held = grant(&one, &backend, input("START_CHAT", "holder", "chat-1")).await;
    let waiters = join_all((0..WAITERS).map(|number| {
        let (node, backend) = (nodes[number % 2], &backend);
        async move {
            let granted = grant(node, backend, input("END_CHAT", &format!("waiter {number}"), "chat-1")).await;
            assert!(complete(node, backend, &granted).await);
        }
    }));
    let release = async {
        let mut began = Vec::new();
        while began.len() < WAITERS {
            let event = events.event().await;
            began.push(event["requestId"].as_str().unwrap().to_owned());
        }
        assert!(complete(&one, &backend, &held).await);
        let granted: Vec<String> =
            events.events(WAITERS).await.iter().map(|event| event["requestId"].as_str().unwrap().to_owned()).collect();
        assert_eq!(granted, began, "first come, first served");
    };
    tokio::join!(waiters, release);
}

#[tokio::test]
async fn a_finished_request_is_remembered_as_long_as_the_setting_says() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--operation-memory", "1m"]).await;
    let backend = server("backend");
    let held = grant(&node, &backend, input("START_CHAT", "done", "chat-1")).await;
    assert!(complete(&node, &backend, &held).await);
    // One that expires is remembered too, from the time at which its line was taken back.
    let mut dead = input("START_CHAT", "dead", "chat-2");
    dead["leaseMs"] = json!(100);
    grant(&node, &backend, dead.clone()).await;
    app.advance(59).await;
    assert_eq!(coordinate(&node, &backend, input("START_CHAT", "done", "chat-1")).await.code(), "CONFLICT");
    assert_eq!(coordinate(&node, &backend, dead.clone()).await.code(), "CONFLICT");
    app.advance(61).await;
    grant(&node, &backend, input("START_CHAT", "done", "chat-1")).await;
    assert_eq!(coordinate(&node, &backend, dead.clone()).await.code(), "CONFLICT");
    app.advance(125).await;
    grant(&node, &backend, dead).await;
}
