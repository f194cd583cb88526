//! `startChat`, `endChat` and `updateChat` pass through the line of their chat.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{complete, grant, input, refusal, server, until_waiting, watch};
use crate::support::{
    app::{Node, TestApp, visitor},
    chat::{CREATE_RACE, ada_and_ben, chat_of, race_input},
};

const START: &str = "mutation($chat: UUID!, $grant: ChatCallGrantInput) {
    startChat(input: {chatId: $chat, grant: $grant}) { outcome chat { status } } }";
const END: &str = "mutation($chat: UUID!, $grant: ChatCallGrantInput) {
    endChat(input: {chatId: $chat, grant: $grant}) { chat { status } } }";
const UPDATE: &str = "mutation($chat: UUID!, $status: ChatStatus!, $grant: ChatCallGrantInput) {
    updateChat(input: {id: $chat, patch: {status: $status}, grant: $grant}) { chat { status } } }";

/// A race of visitor eve; the id of Ada's chat.
async fn chat(node: &Node) -> String {
    let race = node.data(&visitor("eve"), CREATE_RACE, race_input(Uuid::now_v7())).await["race"].take();
    chat_of(&race, 0).to_string()
}

fn shown(held: &Value) -> Value {
    json!({ "requestId": held["requestId"], "fencingToken": held["fencingToken"] })
}

#[tokio::test]
async fn a_start_waits_behind_an_end_of_somebody_else_and_then_decides_by_the_state() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let [ada, _] = ada_and_ben();
    let backend = server("backend");
    let chat = chat(&one).await;
    let mut events = watch(&one, &backend, &chat).await;
    events.until(|event| event["operation"] == "READY").await;
    let held = grant(&one, &backend, input("END_CHAT", "end", &chat)).await;
    let start = two.data(&ada, START, json!({ "chat": chat }));
    let end = async {
        until_waiting(&mut events, 1).await;
        let ended = one.data(&backend, END, json!({ "chat": chat, "grant": shown(&held) })).await;
        assert_eq!(ended["chat"]["status"], "FINISHED");
        assert!(complete(&one, &backend, &held).await);
    };
    let (started, ()) = tokio::join!(start, end);
    assert_eq!(started["outcome"], "CLOSED");
    let told = events.event().await;
    assert_eq!(told["event"], "StartChatCoordinationHold_Complete");
    // The mutation gives the line back by itself.
    grant(&one, &backend, input("END_CHAT", "next", &chat)).await;
}

#[tokio::test]
async fn a_mutation_waits_behind_a_holder_of_its_own_type_too_and_is_never_refused_for_it() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let [ada, _] = ada_and_ben();
    let backend = server("backend");
    let chat = chat(&node).await;
    let mut events = watch(&node, &backend, &chat).await;
    events.until(|event| event["operation"] == "READY").await;
    let held = grant(&node, &backend, input("START_CHAT", "start", &chat)).await;
    let start = node.data(&ada, UPDATE, json!({ "chat": chat, "status": "STARTED" }));
    let inside = async {
        until_waiting(&mut events, 1).await;
        // The holder itself is the same principal and does the same: it runs inside.
        let started = node.data(&backend, START, json!({ "chat": chat })).await;
        assert_eq!(started["outcome"], "STARTED");
        assert!(complete(&node, &backend, &held).await);
    };
    let (updated, ()) = tokio::join!(start, inside);
    assert_eq!(updated["chat"]["status"], "STARTED");
}

#[tokio::test]
async fn a_start_whose_failure_path_calls_end_does_not_wait_for_itself() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let [ada, ben] = ada_and_ben();
    let chat = chat(&node).await;
    let held = grant(&node, &ada, input("START_CHAT", "start", &chat)).await;
    let variables = json!({ "chat": chat, "grant": shown(&held) });
    assert_eq!(node.data(&ada, START, variables.clone()).await["outcome"], "STARTED");
    let refused = node.run(&ada, END, json!({ "chat": chat })).await;
    assert_eq!(refusal(&refused), ("CONFLICT", "you hold this chat for StartChat: pass your grant"));
    assert_eq!(node.code(&ben, END, variables.clone()).await, "NOT_FOUND", "another agent's chat");
    assert_eq!(node.code(&visitor("eve"), END, variables.clone()).await, "CONFLICT", "another caller's grant");
    assert_eq!(node.data(&ada, END, variables.clone()).await["chat"]["status"], "FINISHED");
    assert!(complete(&node, &ada, &held).await);
    assert_eq!(node.code(&ada, END, variables).await, "CONFLICT", "a stale grant");
    let patch = "mutation($chat: UUID!, $grant: ChatCallGrantInput) {
        updateChat(input: {id: $chat, patch: {missed: true}, grant: $grant}) { chat { id } } }";
    assert_eq!(node.code(&ada, patch, json!({ "chat": chat, "grant": shown(&held) })).await, "BAD_USER_INPUT");
}
