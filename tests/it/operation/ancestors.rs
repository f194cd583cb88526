//! The failures of the ancestor, each as the interleaving that it shipped with.

use serde_json::json;

use super::{complete, complete_with, completion, coordinate, grant, input, server, until_waiting, watch};
use crate::support::{app::TestApp, process::Process};

#[tokio::test]
async fn of_two_waiters_one_release_lets_one_in() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let backend = server("backend");
    let mut events = watch(&one, &backend, "chat-1").await;
    events.until(|event| event["operation"] == "READY").await;
    let held = grant(&one, &backend, input("START_CHAT", "holder", "chat-1")).await;
    let first = grant(&one, &backend, input("END_CHAT", "first", "chat-1"));
    let second = async {
        until_waiting(&mut events, 1).await;
        let mut short = input("END_CHAT", "second", "chat-1");
        short["waitMs"] = json!(300);
        let mut watching = watch(&two, &backend, "chat-1").await;
        watching.until(|event| event["operation"] == "READY").await;
        let waiting = coordinate(&two, &backend, short);
        let release = async {
            until_waiting(&mut watching, 1).await;
            assert!(complete(&one, &backend, &held).await);
        };
        tokio::join!(waiting, release).0
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first["requestId"], "first");
    assert_eq!(second.code(), "WAIT_TIMEOUT", "the first one holds the chat");
}

#[tokio::test]
async fn a_third_caller_does_not_slip_in_between_release_and_wake() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let backend = server("backend");
    let mut events = watch(&one, &backend, "chat-1").await;
    events.until(|event| event["operation"] == "READY").await;
    let held = grant(&one, &backend, input("START_CHAT", "holder", "chat-1")).await;
    let waiting = grant(&two, &backend, input("END_CHAT", "waiter", "chat-1"));
    let third = async {
        until_waiting(&mut events, 1).await;
        assert!(complete(&one, &backend, &held).await);
        // The release has been answered; the waiter may not yet know.
        coordinate(&one, &backend, input("END_CHAT", "third", "chat-1")).await
    };
    let (granted, third) = tokio::join!(waiting, third);
    assert_eq!(granted["requestId"], "waiter");
    assert_eq!(third.code(), "OPERATION_IN_PROGRESS");
}

#[tokio::test]
async fn completions_of_another_type_request_or_token_release_nothing() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let backend = server("backend");
    let old = grant(&node, &backend, input("START_CHAT", "old", "chat-1")).await;
    assert!(complete(&node, &backend, &old).await);
    let held = grant(&node, &backend, input("START_CHAT", "new", "chat-1")).await;
    let mut stale = completion(&held, true);
    stale["fencingToken"] = old["fencingToken"].clone();
    let mut other_type = completion(&held, true);
    other_type["callType"] = json!("END_CHAT");
    let mut other_request = completion(&held, true);
    other_request["requestId"] = json!("old");
    for wrong in [stale, other_type, other_request] {
        assert!(!complete_with(&node, &backend, wrong).await);
    }
    assert_eq!(
        coordinate(&node, &backend, input("START_CHAT", "next", "chat-1")).await.code(),
        "OPERATION_IN_PROGRESS"
    );
}

#[tokio::test]
async fn a_holder_that_dies_frees_the_line_when_its_lease_ends() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let backend = server("backend");
    let mut events = watch(&one, &backend, "chat-1").await;
    events.until(|event| event["operation"] == "READY").await;
    let dead = grant(&one, &backend, input("START_CHAT", "dead", "chat-1")).await;
    let waiting = grant(&two, &backend, input("END_CHAT", "waiter", "chat-1"));
    let time = async {
        until_waiting(&mut events, 1).await;
        let mut sql = app.sql().await;
        // The lease ends now; the waiter's time does not.
        sqlx::raw_sql(
            "update operation_line set expires_at = switchboard.now();
             update timer set due_at = switchboard.now() where subject_type = 'operation'",
        )
        .execute(&mut sql)
        .await
        .unwrap();
        one.app.waker.wake();
    };
    let (granted, ()) = tokio::join!(waiting, time);
    assert!(!complete(&one, &backend, &dead).await, "its late completion changes nothing");
    let told = events.event().await;
    assert_eq!(told["holdReason"], "StartChat completed (with error), proceeding with EndChat");
    assert!(complete(&two, &backend, &granted).await);
}

#[tokio::test]
async fn a_waiter_on_a_server_that_is_killed_does_not_hold_up_the_line() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let doomed = Process::serve(&app.database.url(), &[]).await;
    let backend = server("backend");
    let mut events = watch(&node, &backend, "chat-1").await;
    events.until(|event| event["operation"] == "READY").await;
    let held = grant(&node, &backend, input("START_CHAT", "holder", "chat-1")).await;
    let client = doomed.client.clone();
    let lost = {
        let backend = backend.clone();
        tokio::spawn(async move {
            client.try_run(&backend, super::COORDINATE, json!({ "input": input("END_CHAT", "lost", "chat-1") })).await
        })
    };
    until_waiting(&mut events, 1).await;
    doomed.kill().await;
    assert!(lost.await.unwrap().is_err());
    assert!(complete(&node, &backend, &held).await);
    // Granted to nobody who could claim it. A caller behind it gets the line when the claim has run out.
    let granted = grant(&node, &backend, input("START_CHAT", "next", "chat-1")).await;
    assert_eq!(granted["requestId"], "next");
}

#[tokio::test]
async fn a_wait_has_an_end_and_so_has_what_it_waits_for() {
    // Nothing had a time limit: a start that never came back held up its end for ever.
    let app = TestApp::new().await;
    let node = app.node().await;
    let backend = server("backend");
    let mut never = input("START_CHAT", "never completed", "chat-1");
    never["leaseMs"] = json!(1_500);
    grant(&node, &backend, never).await;
    let mut short = input("END_CHAT", "short", "chat-1");
    short["waitMs"] = json!(100);
    assert_eq!(coordinate(&node, &backend, short).await.code(), "WAIT_TIMEOUT");
    // The default wait is longer than that lease.
    let granted = grant(&node, &backend, input("END_CHAT", "patient", "chat-1")).await;
    assert!(complete(&node, &backend, &granted).await);
}

#[tokio::test]
async fn opposite_calls_meet_each_other_on_whatever_servers_they_are() {
    // What was under way was known in the memory of one process only.
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let backend = server("backend");
    let mut events = watch(&one, &backend, "chat-1").await;
    events.until(|event| event["operation"] == "READY").await;
    let held = grant(&one, &backend, input("START_CHAT", "holder", "chat-1")).await;
    let same = coordinate(&two, &backend, input("START_CHAT", "same", "chat-1")).await;
    assert_eq!(super::refusal(&same), ("OPERATION_IN_PROGRESS", "StartChat is already in progress"));
    let waiting = grant(&two, &backend, input("END_CHAT", "waiter", "chat-1"));
    let release = async {
        until_waiting(&mut events, 1).await;
        assert!(complete(&one, &backend, &held).await);
    };
    let (granted, ()) = tokio::join!(waiting, release);
    assert!(granted["fencingToken"].as_str() > held["fencingToken"].as_str());
    assert_eq!(coordinate(&one, &backend, input("END_CHAT", "late", "chat-1")).await.code(), "OPERATION_IN_PROGRESS");
}
