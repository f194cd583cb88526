//! Bounds and rights of every input.

use serde_json::json;
use uuid::Uuid;

use super::{COMPLETE, complete, coordinate, grant, input, server};
use crate::support::{
    app::{TestApp, agent, service_of, visitor},
    chat::{CREATE_RACE, ada_and_ben, chat_of, other_company, race_input},
};

#[tokio::test]
async fn inputs_out_of_bounds_are_refused_by_name() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let backend = server("backend");
    let with = |field: &str, value: serde_json::Value| {
        let mut input = input("START_CHAT", "request", "chat-1");
        input[field] = value;
        input
    };
    for (field, value) in [
        ("waitMs", json!(-1)),
        ("waitMs", json!(20_001)),
        ("leaseMs", json!(99)),
        ("leaseMs", json!(600_001)),
        ("chatId", json!("")),
        ("chatId", json!("x".repeat(129))),
        ("requestId", json!("  ")),
        ("requestId", json!("x".repeat(201))),
    ] {
        let refused = coordinate(&node, &backend, with(field, value.clone())).await;
        assert_eq!(refused.code(), "BAD_USER_INPUT", "{field}: {value}");
        let message = refused["errors"][0]["message"].as_str().unwrap();
        assert!(message.starts_with(field), "{message}");
    }
    for (field, value) in [("waitMs", json!(20_000)), ("leaseMs", json!(600_000)), ("chatId", json!("é".repeat(64)))] {
        let mut input = with(field, value);
        input["requestId"] = json!(field);
        let held = grant(&node, &backend, input).await;
        assert!(complete(&node, &backend, &held).await);
    }
}

#[tokio::test]
async fn a_uuid_is_one_line_however_it_is_written() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let backend = server("backend");
    let chat = Uuid::now_v7();
    let held = grant(&node, &backend, input("START_CHAT", "one", &chat.to_string().to_uppercase())).await;
    assert_eq!(held["chatId"], chat.to_string());
    let refused = coordinate(&node, &backend, input("START_CHAT", "two", &chat.to_string())).await;
    assert_eq!(refused.code(), "OPERATION_IN_PROGRESS");
}

#[tokio::test]
async fn agents_and_visitors_coordinate_the_chats_that_they_see_for_a_bounded_time() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let [ada, ben] = ada_and_ben();
    let race = node.data(&visitor("eve"), CREATE_RACE, race_input(Uuid::now_v7())).await["race"].take();
    let chat = chat_of(&race, 0).to_string();
    let start = |request: &str| input("START_CHAT", request, &chat);
    for stranger in [&ben, &agent(Uuid::new_v4()), &visitor("mallory")] {
        assert_eq!(coordinate(&node, stranger, start("theirs")).await.code(), "NOT_FOUND");
        assert_eq!(coordinate(&node, stranger, input("START_CHAT", "theirs", "chat-456")).await.code(), "NOT_FOUND");
    }
    let other = service_of(other_company(&app).await);
    let elsewhere = grant(&node, &other, start("another company's line of the same id")).await;

    let mut long = start("ada's");
    long["leaseMs"] = json!(600_000);
    let held = grant(&node, &ada, long.clone()).await;
    assert!(!complete(&node, &ben, &held).await && !complete(&node, &other, &held).await);
    for _ in 0..4 {
        app.advance(20).await;
        grant(&node, &ada, long.clone()).await;
    }
    assert_eq!(coordinate(&node, &server("backend"), start("backend's")).await.code(), "OPERATION_IN_PROGRESS");
    // Each call of `advance` sets the offset anew: 25 s after the grant the lease of 30 s still runs.
    app.advance(25).await;
    assert!(!complete(&node, &ada, &elsewhere).await);
    let renewed = grant(&node, &ada, long.clone()).await;
    assert_eq!(renewed["fencingToken"], held["fencingToken"]);
    for seconds in [50, 75, 100] {
        app.advance(seconds).await;
        grant(&node, &ada, long.clone()).await;
    }
    app.advance(121).await;
    let refused = coordinate(&node, &ada, long).await;
    assert_eq!(refused.code(), "CONFLICT", "after two minutes in all the lease has ended, and the request with it");
    assert_eq!(
        node.code(
            &ada,
            COMPLETE,
            json!({ "input": { "callType": "START_CHAT", "requestId": "", "chatId": chat,
        "fencingToken": "1" } })
        )
        .await,
        "BAD_USER_INPUT"
    );
}
