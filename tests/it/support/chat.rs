//! GraphQL documents about chats, their variables, and what tests read from the responses.

use serde_json::{Value, json};
use switchboard::demo;
use uuid::Uuid;

use super::{
    app::{TestApp, agent, service},
    client::{Client, Subscription},
};

pub(crate) const CREATE_RACE: &str = "mutation($input: CreateChatRaceInput!) { createChatRace(input: $input) { race {
    key state version expiresAt winner { id } failures { contractId code message }
    chats { id status version contractId missAt } } } }";
pub(crate) const CREATE_CHAT: &str = "mutation($chat: ChatInput!) { createChat(input: {chat: $chat}) { chat {
    id key status closeReason missed version contractId headline customerName ipAddress } } }";
pub(crate) const START_CHAT: &str = "mutation($chat: UUID!) { startChat(input: {chatId: $chat}) { outcome
    chat { id status closeReason version messages { nodes { text author isAgent } } }
    race { state version winner { id } chats { id } failures { code } } } }";
pub(crate) const END_CHAT: &str =
    "mutation($chat: UUID!) { endChat(input: {chatId: $chat}) { chat { id status closeReason version } } }";
pub(crate) const RACE: &str = "query($key: UUID!) { chatRace(key: $key) { state version winner { id }
    chats { id status closeReason missed contractId } failures { contractId code } } }";
pub(crate) const CHAT_STATUS: &str =
    "subscription($chat: UUID, $key: UUID, $contract: UUID, $status: ChatStatus, $after: Cursor) {
    chatStatus(chatId: $chat, key: $key, contractId: $contract, status: $status, after: $after) {
        operation cursor resync record { id key status closeReason missed version contractId } } }";
pub(crate) const CHAT_RACE: &str = "subscription($key: UUID!, $after: Cursor) { chatRace(key: $key, after: $after) {
    operation cursor resync record { state version winner { id } chats { id } } } }";
pub(crate) const CREATE_CONTRACT: &str =
    "mutation($contract: ContractInput!) { createContract(input: {contract: $contract}) { contract { id version } } }";
pub(crate) const EVENTS: &str =
    "query($id: ID!, $kind: String) { events(subjectId: $id, subjectType: $kind, first: 100) {
    nodes { subjectType subjectId version type actor payload occurredAt } } }";

/// Parses an id from JSON.
pub(crate) fn id(value: &Value) -> Uuid {
    value.as_str().unwrap_or_else(|| panic!("no id: {value}")).parse().unwrap()
}

/// Variables of `CREATE_RACE`: a race `key` on the demo website.
pub(crate) fn race_input(key: Uuid) -> Value {
    json!({ "input": { "customerName": "Eve", "headline": "My order is late", "key": key, "websiteId": demo::WEBSITE_ID } })
}

/// Variables of `CREATE_CHAT`: one chat of the race `key`.
pub(crate) fn chat_input(key: Uuid, contract: Uuid) -> Value {
    json!({ "chat": { "customerName": "Eve", "headline": "My order is late", "key": key, "contractId": contract } })
}

/// Logs a visitor of the demo website in.
pub(crate) async fn log_in(client: &Client) -> String {
    let document = "mutation($key: UUID!) { consumerLogin(input: {publicKey: $key}) { jwtToken } }";
    let login = client.data("", document, json!({ "key": demo::PUBLIC_KEY })).await;
    login["jwtToken"].as_str().unwrap().to_owned()
}

/// The tokens of the demo company's agents.
pub(crate) fn ada_and_ben() -> [String; 2] {
    demo::AGENTS.map(|(_, id)| agent(id))
}

/// A shift that is not worked now: a new race is not offered to its contracts.
pub(crate) async fn other_shift(node: &Client) -> i32 {
    let said = node.data(&service(), "{ currentShift }", json!({})).await;
    i32::try_from(said.as_i64().unwrap()).unwrap() % 3 + 1
}

/// The demo contract of an agent (by its place among them) in a shift.
pub(crate) fn contract_of(agent: usize, session: i32) -> Uuid {
    let found = demo::demo().contracts.into_iter();
    let mut found = found.filter(|it| it.session == session && it.agent_id == demo::AGENTS[agent].1);
    found.next().unwrap().id
}

/// The chat of a race that is offered to an agent, by its place among the demo company's.
pub(crate) fn chat_of(race: &Value, agent: usize) -> Uuid {
    let contracts = demo::demo().contracts;
    let mut chats = race["chats"].as_array().unwrap().iter().filter(|chat| {
        let contract = id(&chat["contractId"]);
        contracts.iter().any(|known| known.id == contract && known.agent_id == demo::AGENTS[agent].1)
    });
    id(&chats.next().expect("a chat of this agent")["id"])
}

/// `(chat, operation, status, closeReason, version)` of an event of `chatStatus`.
pub(crate) fn status_change(event: &Value) -> (Uuid, &str, &str, &str, i64) {
    let record = &event["record"];
    assert_eq!(event["resync"], false, "{event}");
    (
        id(&record["id"]),
        event["operation"].as_str().unwrap(),
        record["status"].as_str().unwrap(),
        record["closeReason"].as_str().unwrap_or_default(),
        record["version"].as_i64().unwrap(),
    )
}

/// The next `count` events of `chatStatus`, in the order of the chats' ids.
pub(crate) async fn next(stream: &mut Subscription, count: usize) -> Vec<Value> {
    let mut events = stream.events(count).await;
    events.sort_by_key(|event| (id(&event["record"]["id"]), event["record"]["version"].as_i64()));
    events
}

/// Inserts another company by SQL.
pub(crate) async fn other_company(app: &TestApp) -> Uuid {
    let mut connection = app.sql().await;
    let company: Uuid =
        sqlx::query_scalar("insert into company (id, name) values (gen_random_uuid(), 'Other') returning id")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    company
}
