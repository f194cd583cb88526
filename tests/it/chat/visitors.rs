//! No visitor ever receives another's chat, by any path.

use serde_json::json;

use super::{WRITE, agent_of, create_won_race, end, new_visitor, start, write};
use crate::support::app::TestApp;

#[tokio::test]
async fn no_field_returns_another_visitors_chat() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let (eve, mallory) = (new_visitor(), new_visitor());
    let (race, chat) = create_won_race(&node, &eve).await;
    let variables = json!({ "id": chat["id"], "key": race["key"], "chat": chat["id"], "text": "Hi",
        "contract": chat["contract"]["id"] });
    for (document, field) in [
        ("query($id: UUID!) { chat(id: $id) { headline messages { nodes { text } } } }", "chat"),
        ("query($key: UUID!) { chatRace(key: $key) { chats { id } } }", "chatRace"),
    ] {
        assert!(node.fields(&mallory, document, variables.clone()).await[field].is_null(), "{document}");
    }
    for filter in ["", "(status: [STARTED, FINISHED, ACTIVE])", "(contractId: $contract)"] {
        let declared = if filter.contains('$') { "($contract: UUID)" } else { "" };
        let document = format!("query{declared} {{ chats{filter} {{ nodes {{ id }} }} }}");
        assert_eq!(
            node.fields(&mallory, &document, variables.clone()).await["chats"]["nodes"],
            json!([]),
            "{document}"
        );
    }
    for (document, code) in [
        ("query($id: UUID!) { messages(condition: {chatId: $id}) { text } }", "NOT_FOUND"),
        ("mutation($id: UUID!) { endChat(input: {chatId: $id}) { chat { id } } }", "NOT_FOUND"),
        ("mutation($id: UUID!) { updateChat(input: {id: $id, patch: {missed: true}}) { chat { id } } }", "NOT_FOUND"),
        (
            "mutation($id: UUID!) { updateChat(input: {id: $id, patch: {status: FINISHED}}) { chat { id } } }",
            "NOT_FOUND",
        ),
        ("mutation($id: UUID!) { updateChatMissed(input: {chatId: $id}) { chat { id } } }", "NOT_FOUND"),
        ("mutation($id: UUID!) { createRate(input: {rate: {chatId: $id, rating: 1}}) { rate { id } } }", "NOT_FOUND"),
        ("mutation($key: UUID!) { cancelChatRace(input: {key: $key}) { race { state } } }", "NOT_FOUND"),
        (WRITE, "NOT_FOUND"),
        (
            "mutation($key: UUID, $contract: UUID!) { createChat(input: {chat: {customerName: \"M\", headline: \"M\",
            contractId: $contract, key: $key}}) { chat { id } } }",
            "CONFLICT",
        ),
        (
            "mutation($key: UUID) { createChatRace(input: {customerName: \"M\", headline: \"M\", key: $key}) {
            race { chats { id } } } }",
            "CONFLICT",
        ),
        ("query($id: ID!) { events(subjectId: $id) { nodes { payload } } }", "FORBIDDEN"),
        ("mutation($id: UUID!) { startChat(input: {chatId: $id}) { chat { id } } }", "FORBIDDEN"),
    ] {
        assert_eq!(node.code(&mallory, document, variables.clone()).await, code, "{document}");
    }
    for document in [
        "subscription($id: UUID!) { chat(id: $id) { id } }",
        "subscription($id: UUID!) { messages(condition: {chatId: $id}) { text } }",
        "subscription($id: UUID!) { onMessageAdded(chatId: $id) { record { text } } }",
        "subscription($id: UUID!) { messageAdded(chatId: $id) { record { text } } }",
        "subscription($id: UUID!) { chatStatus(chatId: $id) { record { id } } }",
        "subscription($key: UUID!) { chatRace(key: $key) { record { state } } }",
    ] {
        let mut stream = node.subscribe(&mallory, document, variables.clone()).await;
        let answer = stream.payload().await;
        assert_eq!(answer["errors"][0]["extensions"]["code"], "NOT_FOUND", "{document}: {answer}");
    }
}

#[tokio::test]
async fn no_subscription_sends_another_visitors_chat() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let (eve, mallory) = (new_visitor(), new_visitor());
    let (own_race, own) = create_won_race(&node, &mallory).await;
    let variables = json!({ "contract": own["contract"]["id"] });
    let mut streams = Vec::new();
    for (field, document) in [
        ("chatStatus", "subscription { chatStatus { operation record { id key } } }"),
        (
            "chatStatus",
            "subscription($contract: UUID) { chatStatus(contractId: $contract) {
            operation record { id key } } }",
        ),
        ("chatChanged", "subscription { chatChanged { operation record { id key } } }"),
        (
            "chatChanged",
            "subscription($contract: UUID) { chatChanged(contractId: $contract) {
            operation record { id key } } }",
        ),
    ] {
        let mut stream = node.subscribe(&mallory, document, variables.clone()).await;
        if field == "chatStatus" {
            stream.until(|event| event["operation"] == "READY").await;
        } else {
            assert_eq!(stream.event().await["record"]["id"], own["id"]);
        }
        streams.push((document, stream));
    }
    // All that can happen to another's chats of the same contracts.
    let (race, chat) = create_won_race(&node, &eve).await;
    write(&node, &eve, &chat, "secret").await;
    end(&node, &agent_of(&chat), &chat).await;
    start(&node, &agent_of(&race["chats"][1]), &race["chats"][1]).await;
    end(&node, &mallory, &own).await;
    for (document, mut stream) in streams {
        let event = stream.event().await;
        assert_eq!(event["record"]["key"], own_race["key"], "{document}: {event}");
    }
}
