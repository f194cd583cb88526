//! Patches and ratings; where a chat comes from.

use reqwest::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ORIGIN};
use serde_json::json;
use switchboard::demo;

use super::{agent_of, create_chat, create_race, create_won_race, end, new_visitor};
use crate::support::app::{TestApp, service};

const UPDATE: &str = "mutation($id: UUID!, $patch: ChatPatch!) {
    updateChat(input: {id: $id, patch: $patch}) { chat { status headline customerName version closeReason } } }";
const RATE: &str =
    "mutation($chat: UUID!, $rating: Int!) { createRate(input: {rate: {chatId: $chat, rating: $rating}}) {
    rate { id rating } } }";

#[tokio::test]
async fn an_update_applies_all_of_its_fields_or_none_by_the_rules_of_the_other_mutations() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    let asked = create_race(&node, &eve).await;
    let [first, second] = [0, 1].map(|index| asked["chats"][index].clone());
    let patch = |chat: &serde_json::Value, patch| json!({ "id": chat["id"], "patch": patch });
    let words = json!({ "headline": "It is very late", "customerName": "Eve M." });
    assert_eq!(node.code(&agent_of(&first), UPDATE, patch(&first, words.clone())).await, "FORBIDDEN");
    let changed = node.fields(&eve, UPDATE, patch(&first, words)).await["updateChat"]["chat"].take();
    assert_eq!((&changed["headline"], &changed["version"]), (&json!("It is very late"), &json!(2)));
    // An answer and the last change of the words in one.
    let both = json!({ "headline": "Settled", "status": "STARTED" });
    let started = node.fields(&service(), UPDATE, patch(&first, both.clone())).await["updateChat"]["chat"].take();
    assert_eq!((&started["status"], &started["headline"]), (&json!("STARTED"), &json!("Settled")));
    assert_eq!(super::texts(&node, &eve, &first).await, ["Settled"], "the opening message is what it came to");
    assert_eq!(node.code(&service(), UPDATE, patch(&second, both)).await, "CONFLICT");
    let document = "query($id: UUID!) { chat(id: $id) { headline } }";
    let lost = node.fields(&service(), document, json!({ "id": second["id"] })).await;
    assert_eq!(lost["chat"]["headline"], super::HEADLINE, "nothing of a patch that fails stays");
    let late = json!({ "headline": "Too late" });
    assert_eq!(node.code(&eve, UPDATE, patch(&first, late)).await, "CONFLICT");
    let finished = node.fields(&eve, UPDATE, patch(&first, json!({ "status": "FINISHED" }))).await;
    assert_eq!(finished["updateChat"]["chat"]["closeReason"], "COMPLETED");
    assert_eq!(node.fields(&eve, UPDATE, patch(&first, json!({}))).await, finished, "nothing asked, nothing changed");
}

#[tokio::test]
async fn a_chat_has_one_rating() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    let (asked, chat) = create_won_race(&node, &eve).await;
    let rate = |chat: &serde_json::Value, rating| json!({ "chat": chat["id"], "rating": rating });
    assert_eq!(node.code(&eve, RATE, rate(&asked["chats"][1], 5)).await, "CONFLICT", "it was never started");
    assert_eq!(node.code(&agent_of(&chat), RATE, rate(&chat, 5)).await, "FORBIDDEN");
    let first = node.fields(&eve, RATE, rate(&chat, 2)).await["createRate"]["rate"].take();
    end(&node, &eve, &chat).await;
    let second = node.fields(&eve, RATE, rate(&chat, 4)).await["createRate"]["rate"].take();
    assert_eq!(first["id"], second["id"]);
    let rated = node.fields(&eve, "query($id: UUID!) { chat(id: $id) { rating } }", json!({ "id": chat["id"] })).await;
    assert_eq!(rated["chat"]["rating"], 4);
}

#[tokio::test]
async fn the_client_address_comes_from_the_connection_or_from_a_trusted_proxy() {
    let app = TestApp::new().await;
    let contract = demo::demo().contracts[0].id.to_string();
    let plain = app.node().await;
    let asked = create_chat(&plain, &new_visitor(), &contract, None).await;
    assert_eq!(asked["ipAddress"], "127.0.0.1");
    let behind = app.node_with(&["--trusted-proxies", "127.0.0.0/8"]).await;
    let document = format!(
        "mutation {{ createChat(input: {{chat: {{customerName: \"Eve\", headline: \"Hi\", contractId: \"{contract}\"}}}}) {{
            chat {{ ipAddress }} }} }}"
    );
    for (node, expected) in [(&plain, "127.0.0.1"), (&behind, "198.51.100.7")] {
        let request = reqwest::Client::new()
            .post(node.url("/graphql"))
            .bearer_auth(new_visitor())
            .header("x-forwarded-for", "6.6.6.6, 198.51.100.7")
            .json(&json!({ "query": document }));
        let answer: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(answer["data"]["createChat"]["chat"]["ipAddress"], expected, "{answer}");
    }
}

#[tokio::test]
async fn pages_of_a_websites_allowed_origins_may_call() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let allowed = async |origin: &str| {
        let request = reqwest::Client::new()
            .request(reqwest::Method::OPTIONS, node.url("/graphql"))
            .header(ORIGIN, origin)
            .header("access-control-request-method", "POST");
        let response = request.send().await.unwrap();
        response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN).is_some_and(|value| value == origin)
    };
    let document = "mutation { createWebsite(input: {website: {allowedOrigins: [\"https://Shop.example\"]}}) {
        website { id } } }";
    node.fields(&service(), document, json!({})).await;
    assert!(allowed("https://shop.example").await);
    assert!(!allowed("https://evil.example").await);
    assert!(!allowed("http://shop.example").await);
    assert!(!allowed("http://localhost:3000").await, "loopback pages only in development");
}
