//! No visitor ever receives another's chat, by any path.

use serde_json::{Value, json};
use switchboard::demo;
use uuid::Uuid;

use super::{WRITE, agent_of, create_chat, create_won_race, end, new_visitor, start, write};
use crate::support::app::{Node, TestApp, agent, service};

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

/// The contracts that each path shows, each as (id, status, rate, fee).
async fn shown(node: &Node, token: &str, contract: Uuid) -> Value {
    let fields = "id status rate chatMissFee";
    let lists = format!(
        "query($website: UUID!, $id: UUID!) {{ website(id: $website) {{ contracts {{ {fields} }} }} contracts {{ {fields} }}
            inactive: contracts(condition: {{status: \"inactive\"}}) {{ {fields} }} contract(id: $id) {{ {fields} }}
            chats {{ nodes {{ contract {{ {fields} }} }} }} }}"
    );
    let variables = json!({ "website": demo::WEBSITE_ID, "id": contract });
    let found = node.fields(token, &lists, variables).await;
    let of = |list: &Value| -> Value {
        list.as_array().unwrap().iter().find(|shown| shown["id"] == json!(contract)).cloned().unwrap_or_default()
    };
    let all = [
        of(&found["website"]["contracts"]),
        of(&found["contracts"]),
        found["contract"].clone(),
        found["chats"]["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|chat| chat["contract"].clone())
            .next()
            .unwrap_or_default(),
        of(&found["inactive"]),
    ];
    json!(all)
}

#[tokio::test]
async fn a_visitor_sees_no_prices_and_of_inactive_contracts_only_those_of_its_chats() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let (eve, mallory) = (new_visitor(), new_visitor());
    let contract = demo::demo().contracts[0].clone();
    let update = "mutation($id: UUID!, $patch: ContractPatch!) {
        updateContract(input: {id: $id, patch: $patch}) { contract { version } } }";
    let patch = async |patch: Value| {
        node.fields(&service(), update, json!({ "id": contract.id, "patch": patch })).await;
    };
    patch(json!({ "rate": 12.5, "chatMissFee": 3.0 })).await;
    create_chat(&node, &eve, &contract.id.to_string(), None).await;
    let as_company = |status: &str| json!({ "id": contract.id, "status": status, "rate": 12.5, "chatMissFee": 3.0 });
    let as_visitor = |status: &str| json!({ "id": contract.id, "status": status, "rate": null, "chatMissFee": null });
    let unseen = Value::Null;
    let (active, inactive) = (as_visitor("active"), as_visitor("inactive"));
    assert_eq!(shown(&node, &eve, contract.id).await, json!([active, active, active, active, unseen]));
    assert_eq!(shown(&node, &mallory, contract.id).await, json!([active, active, active, unseen, unseen]));
    let document = "subscription { contractStatus { operation record { id status rate chatMissFee } } }";
    let mut stream = node.subscribe(&mallory, document, json!({})).await;
    assert!(stream.ready().await.contains(&active));

    patch(json!({ "status": "inactive" })).await;
    let left = stream.event().await;
    assert_eq!((&left["operation"], &left["record"]), (&json!("DELETE"), &inactive), "without prices");
    assert_eq!(shown(&node, &eve, contract.id).await, json!([inactive, inactive, inactive, inactive, inactive]));
    assert_eq!(shown(&node, &mallory, contract.id).await, json!([unseen, unseen, unseen, unseen, unseen]));
    for token in [&service(), &agent(contract.agent_id)] {
        let company = as_company("inactive");
        assert_eq!(shown(&node, token, contract.id).await, json!([company, company, company, company, company]));
    }
    let mut again = node.subscribe(&mallory, document, json!({})).await;
    assert!(again.ready().await.iter().all(|shown| shown["status"] == "active"));

    // Prices change, and the contract comes back: a visitor hears of the second only.
    patch(json!({ "rate": 99.0 })).await;
    patch(json!({ "status": "active" })).await;
    for stream in [&mut stream, &mut again] {
        let back = stream.event().await;
        assert_eq!((&back["operation"], &back["record"]), (&json!("INSERT"), &active));
    }
}
