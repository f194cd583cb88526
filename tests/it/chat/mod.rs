//! Races and chats. Tests that use [`company`] call the verbs in this process; the others go through the API of
//! running servers.

mod ancestors;
mod batches;
mod company;
mod contracts;
mod deadlines;
mod edits;
mod interleaved;
mod keys;
mod lists;
mod messages;
mod neighbours;
mod offers;
mod plans;
mod reoffer;
mod resolvers;
mod returns;
mod sql_callers;
mod story;
mod streams;
mod timers;
mod visitors;
mod widgets;
mod winner;

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::demo;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{
    app::{Node, agent, visitor},
    client::Subscription,
};

pub(crate) const HEADLINE: &str = "My order is late";

/// A visitor's token.
pub(crate) fn new_visitor() -> String {
    visitor(&Uuid::new_v4().to_string())
}

/// The token of the agent that this chat is offered to.
pub(crate) fn agent_of(chat: &Value) -> String {
    agent(chat["contract"]["agent"]["id"].as_str().unwrap().parse().unwrap())
}

/// Creates a race of all contracts on shift as a visitor; returns the race with its chats.
pub(crate) async fn create_race(node: &Node, visitor: &str) -> Value {
    let document = "mutation($headline: String!) {
        createChatRace(input: {customerName: \"Eve\", headline: $headline}) {
            race { key state expiresAt version chats { id status version missAt contract { id agent { id } } } } } }";
    let mut data = node.fields(visitor, document, json!({ "headline": HEADLINE })).await;
    let race = data["createChatRace"]["race"].take();
    assert_eq!(race["chats"].as_array().unwrap().len(), demo::AGENTS.len());
    race
}

/// Creates one chat as the deployed widget does; returns it.
pub(crate) async fn create_chat(node: &Node, visitor: &str, contract_id: &str, key: Option<&str>) -> Value {
    let document = "mutation($contract: UUID!, $key: UUID, $headline: String!) {
        createChat(input: {chat: {customerName: \"Eve\", headline: $headline, contractId: $contract, key: $key}}) {
            chat { id key status closeReason version ipAddress contract { agent { id } } } } }";
    let variables = json!({ "contract": contract_id, "key": key, "headline": HEADLINE });
    node.fields(visitor, document, variables).await["createChat"]["chat"].take()
}

/// Starts a chat as an agent; returns the outcome.
pub(crate) async fn start(node: &Node, token: &str, chat: &Value) -> String {
    let document = "mutation($id: UUID!) { startChat(input: {chatId: $id}) { outcome } }";
    let data = node.fields(token, document, json!({ "id": chat["id"] })).await;
    data["startChat"]["outcome"].as_str().unwrap().to_owned()
}

/// Ends a chat; returns its status.
pub(crate) async fn end(node: &Node, token: &str, chat: &Value) -> String {
    let document = "mutation($id: UUID!) { endChat(input: {chatId: $id}) { chat { status } } }";
    let data = node.fields(token, document, json!({ "id": chat["id"] })).await;
    data["endChat"]["chat"]["status"].as_str().unwrap().to_owned()
}

/// The race as `token` sees it.
pub(crate) async fn race(node: &Node, token: &str, key: &Value) -> Value {
    let document = "query($key: UUID!) { chatRace(key: $key) {
        state expiresAt winner { id } chats { id status closeReason missed missAt version } } }";
    node.fields(token, document, json!({ "key": key })).await["chatRace"].take()
}

pub(crate) const WRITE: &str = "mutation($id: UUID, $chat: UUID!, $text: String!, $agent: Boolean) {
    createMessage(input: {message: {id: $id, chatId: $chat, text: $text, author: \"Eve\", isAgent: $agent}}) {
        message { id chatId text author isAgent insertedAt updatedAt } } }";

/// Writes a message; returns it.
pub(crate) async fn write(node: &Node, token: &str, chat: &Value, text: &str) -> Value {
    let data = node.fields(token, WRITE, json!({ "chat": chat["id"], "text": text })).await;
    data["createMessage"]["message"].clone()
}

/// The texts of a chat's messages, oldest first.
pub(crate) async fn texts(node: &Node, token: &str, chat: &Value) -> Vec<String> {
    let document = "query($id: UUID!) { messages(condition: {chatId: $id}, orderBy: INSERTED_AT_ASC) { text } }";
    let data = node.fields(token, document, json!({ "id": chat["id"] })).await;
    data["messages"].as_array().unwrap().iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
}

/// Creates a race that the agent of its first chat wins; returns the race and the winning chat.
pub(crate) async fn create_won_race(node: &Node, visitor: &str) -> (Value, Value) {
    let race = create_race(node, visitor).await;
    let chat = race["chats"][0].clone();
    assert_eq!(start(node, &agent_of(&chat), &chat).await, "STARTED");
    (race, chat)
}

/// Repeats `act` until the stream sends an event of one of them. The stream sends nothing when it has begun to listen.
pub(crate) async fn event_after(stream: &mut Subscription, field: &str, mut act: impl AsyncFnMut(usize)) -> Value {
    for turn in 0..50 {
        act(turn).await;
        if let Ok(event) = timeout(Duration::from_millis(200), stream.event()).await {
            return event;
        }
    }
    panic!("no event on {field}");
}
