//! Lists in pages, and the agents' inbox.

use serde_json::{Value, json};
use switchboard::demo;

use super::{agent_of, create_chat, create_race, create_won_race, new_visitor, start, write};
use crate::support::app::{TestApp, agent, service};

fn ids(nodes: &Value) -> Vec<String> {
    nodes.as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn chats_come_newest_first_in_pages_that_neither_skip_nor_repeat() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let contracts = demo::demo().contracts;
    let mut asked = Vec::new();
    for _ in 0..5 {
        let chat = create_chat(&node, &new_visitor(), &contracts[0].id.to_string(), None).await;
        asked.insert(0, chat["id"].as_str().unwrap().to_owned());
    }
    let document = "query($status: [ChatStatus!], $contract: UUID, $website: UUID, $first: Int, $after: String) {
        chats(status: $status, contractId: $contract, websiteId: $website, first: $first, after: $after) {
            edges { cursor } nodes { id } pageInfo { hasNextPage hasPreviousPage endCursor } } }";
    let mut found = Vec::new();
    let mut after = Value::Null;
    loop {
        let page = node.fields(&service(), document, json!({ "first": 2, "after": after })).await["chats"].take();
        assert_eq!(page["pageInfo"]["hasPreviousPage"], !after.is_null());
        found.extend(ids(&page["nodes"]));
        after = page["pageInfo"]["endCursor"].clone();
        // A chat that is created meanwhile is newer than the page and does not shift it.
        create_chat(&node, &new_visitor(), &contracts[1].id.to_string(), None).await;
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(found, asked);
    let count = async |token: &str, variables: Value| {
        ids(&node.fields(token, document, variables).await["chats"]["nodes"]).len()
    };
    assert_eq!(count(&service(), json!({ "contract": contracts[0].id })).await, 5);
    assert_eq!(count(&service(), json!({ "status": ["STARTED", "FINISHED"] })).await, 0);
    assert_eq!(count(&service(), json!({ "website": demo::WEBSITE_ID })).await, 8);
    assert_eq!(count(&agent(contracts[0].agent_id), json!({})).await, 5, "an agent sees its own");
    assert_eq!(count(&new_visitor(), json!({})).await, 0);
    assert_eq!(node.code("", document, json!({})).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn a_chats_messages_page_both_ways() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    let (_, chat) = create_won_race(&node, &eve).await;
    for text in ["1", "2", "3", "4"] {
        write(&node, &eve, &chat, text).await;
    }
    let document = "query($id: UUID!, $first: Int, $after: String, $last: Int, $before: String) { chat(id: $id) {
        messages(first: $first, after: $after, last: $last, before: $before) {
            nodes { text } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }";
    let page = async |mut variables: Value| {
        variables["id"] = chat["id"].clone();
        let page = node.fields(&eve, document, variables).await["chat"]["messages"].take();
        let texts: Vec<String> =
            page["nodes"].as_array().unwrap().iter().map(|node| node["text"].as_str().unwrap().to_owned()).collect();
        (texts, page["pageInfo"].clone())
    };
    let (texts, info) = page(json!({ "first": 2 })).await;
    assert_eq!((texts.len(), &info["hasNextPage"], &info["hasPreviousPage"]), (2, &json!(true), &json!(false)));
    let (texts, _) = page(json!({ "first": 2, "after": info["endCursor"] })).await;
    assert_eq!(texts, ["2", "3"]);
    let (texts, info) = page(json!({ "last": 2 })).await;
    assert_eq!((texts, &info["hasPreviousPage"]), (vec!["3".to_owned(), "4".to_owned()], &json!(true)));
    let (texts, info) = page(json!({ "last": 3, "before": info["startCursor"] })).await;
    assert_eq!((texts.len(), &info["hasPreviousPage"], &info["hasNextPage"]), (3, &json!(false), &json!(true)));
    let newest = "query($id: UUID!) { messages(condition: {chatId: $id}, orderBy: [INSERTED_AT_DESC]) { text } }";
    assert_eq!(node.fields(&eve, newest, json!({ "id": chat["id"] })).await["messages"][0]["text"], "4");
}

#[tokio::test]
async fn a_chat_that_leaves_an_inboxs_filter_is_sent_as_delete() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    let asked = create_race(&node, &eve).await;
    let [first, second] = [0, 1].map(|index| asked["chats"][index].clone());
    let document = "subscription($status: ChatStatus) { chatStatus(status: $status) {
        operation record { id status closeReason } } }";
    let loser = agent_of(&second);
    let mut offers = node.subscribe(&loser, document, json!({ "status": "ACTIVE" })).await;
    let mut inbox = node.subscribe(&loser, document, json!({})).await;
    for stream in [&mut offers, &mut inbox] {
        let begun = stream.until(|event| event["operation"] == "READY").await;
        assert_eq!(begun.len(), 2, "its own chat alone");
        assert_eq!(begun[0]["record"]["id"], second["id"]);
    }
    start(&node, &agent_of(&first), &first).await;
    let gone = offers.event().await;
    assert_eq!((&gone["operation"], &gone["record"]["closeReason"]), (&json!("DELETE"), &json!("RESCINDED")));
    assert_eq!(inbox.event().await["operation"], "UPDATE");
    // The loser sees how the race ended, not with whom.
    let seen = super::race(&node, &loser, &asked["key"]).await;
    assert_eq!((&seen["state"], &seen["winner"]), (&json!("WON"), &Value::Null));
    assert_eq!(seen["chats"].as_array().unwrap().len(), 1);
}
