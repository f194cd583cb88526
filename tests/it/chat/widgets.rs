//! The streams of deployed widgets, with a token and without.

use serde_json::{Value, json};
use switchboard::demo;

use super::{HEADLINE, agent_of, create_chat, create_won_race, end, event_after, new_visitor, start, write};
use crate::support::app::{Node, TestApp, service};

const UPDATE_CONTRACT: &str = "mutation($id: UUID!, $patch: ContractPatch!) {
    updateContract(input: {id: $id, patch: $patch}) { contract { version } } }";

/// The widget's whole story on its own streams, as `reader` (empty: without a token).
async fn story(node: &Node, reader: &str) {
    let eve = new_visitor();
    let contract = demo::demo().contracts[0].id.to_string();
    let chat = create_chat(node, &eve, &contract, None).await;
    let variables = json!({ "chatId": chat["id"] });
    let document = "subscription($chatId: UUID!) { chat(id: $chatId) { id status version contract { agent { id } } } }";
    let mut present = node.subscribe(reader, document, variables.clone()).await;
    assert_eq!(present.event().await["status"], "ACTIVE");
    let document = "subscription($chatId: UUID) {
        messages(condition: {chatId: $chatId}, orderBy: INSERTED_AT_DESC) { text author isAgent } }";
    let mut list = node.subscribe(reader, document, variables.clone()).await;
    assert_eq!(list.event().await, json!([]));
    start(node, &agent_of(&chat), &chat).await;
    let started = present.event().await;
    assert_eq!(started["status"], "STARTED");
    assert_eq!(started["contract"]["agent"]["id"], json!(demo::demo().contracts[0].agent_id));
    assert_eq!(list.event().await, json!([{ "text": HEADLINE, "author": "Eve", "isAgent": false }]));
    let document = "subscription($chatId: UUID!) { onMessageAdded(chatId: $chatId) { operation record { text } } }";
    let mut added = node.subscribe(reader, document, variables.clone()).await;
    let agent = agent_of(&chat);
    let text = |turn: usize| format!("message {turn}");
    let first = event_after(&mut added, "onMessageAdded", async |turn| {
        write(node, &agent, &chat, &text(turn)).await;
    })
    .await;
    // Changes only: earlier messages are not repeated, and nothing but messages is sent.
    assert_eq!(first["operation"], "INSERT");
    assert_ne!(first["record"]["text"], HEADLINE);
    // A list may come after several messages.
    list.until(|list| list.as_array().unwrap().iter().any(|message| message["text"] == text(0))).await;
    end(node, &eve, &chat).await;
    assert_eq!(present.event().await["status"], "FINISHED");
    if reader.is_empty() {
        let document = "query($chatId: UUID!) { chat(id: $chatId) { headline contract { rate chatMissFee color } }
            messages(condition: {chatId: $chatId}) { text } }";
        let seen = node.fields("", document, variables).await;
        assert_eq!(seen["messages"][0]["text"], HEADLINE);
        assert_eq!(seen["chat"]["contract"]["rate"], Value::Null, "prices are not public");
    }
}

#[tokio::test]
async fn a_deployed_widget_works_with_a_token_and_without() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let contract = demo::demo().contracts[0].id;
    node.fields(&service(), UPDATE_CONTRACT, json!({ "id": contract, "patch": { "rate": 12.5, "chatMissFee": 3 } }))
        .await;
    story(&node, &service()).await;
    story(&node, "").await;
    let unknown = json!({ "chatId": uuid::Uuid::new_v4() });
    let document = "query($chatId: UUID!) { chat(id: $chatId) { id } }";
    assert_eq!(node.fields("", document, unknown).await["chat"], Value::Null);
}

#[tokio::test]
async fn a_slow_widget_receives_the_newest_state_of_its_chat_and_a_fast_one_every_change() {
    const CHANGES: usize = 60;
    let app = TestApp::new().await;
    let node = app.node_with(&["--subscription-queue", "4", "--send-queue", "1024", "--send-timeout", "60s"]).await;
    let eve = new_visitor();
    let chat = create_chat(&node, &eve, &demo::demo().contracts[0].id.to_string(), None).await;
    // Each message is larger than what the kernel takes for a socket at a time, or the slow one would not be slow.
    let large: Vec<String> = (0..90).map(|number| format!("copy{number}: headline")).collect();
    let document =
        |fields: &str| format!("subscription($chat: UUID!) {{ chat(id: $chat) {{ version headline {fields} }} }}");
    let variables = json!({ "chat": chat["id"] });
    let mut slow = node.subscribe(&eve, &document(&large.join(" ")), variables.clone()).await;
    let mut fast = node.subscribe(&eve, &document(""), variables).await;
    let (mut of_slow, mut of_fast) = (vec![slow.event().await], vec![fast.event().await]);
    let update = "mutation($id: UUID!, $headline: String!) {
        updateChat(input: {id: $id, patch: {headline: $headline}}) { chat { version } } }";
    let mut newest = Value::Null;
    for turn in 0..CHANGES {
        let headline = format!("{turn} {}", "\u{1d11e}".repeat(1_900));
        let updated = node.fields(&eve, update, json!({ "id": chat["id"], "headline": headline })).await;
        newest = updated["updateChat"]["chat"]["version"].clone();
        of_fast.push(fast.event().await);
    }
    while of_slow.last().unwrap()["version"] != newest {
        of_slow.push(slow.event().await);
    }
    let versions = |events: &[Value]| events.iter().map(|event| event["version"].as_i64().unwrap()).collect::<Vec<_>>();
    let first = chat["version"].as_i64().unwrap();
    assert_eq!(versions(&of_fast), (first..=newest.as_i64().unwrap()).collect::<Vec<_>>());
    assert!(versions(&of_slow).is_sorted_by(|one, next| one < next), "{:?}", versions(&of_slow));
    assert!(of_slow.len() < of_fast.len(), "{:?}", versions(&of_slow));
    assert_eq!(of_slow.last().unwrap()["headline"], of_fast.last().unwrap()["headline"]);
}

#[tokio::test]
async fn chat_changed_begins_with_the_started_chat_and_hides_withdrawn_offers() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    // An older conversation that goes on, and the newest, which was won before the widget subscribed.
    create_won_race(&node, &eve).await;
    let (_, chat) = create_won_race(&node, &eve).await;
    let document = "subscription { chatChanged { operation record { id status } cursor resync } }";
    let mut stream = node.subscribe(&eve, document, json!({})).await;
    let first = stream.event().await;
    assert_eq!((&first["operation"], &first["record"]["id"]), (&json!("UPDATE"), &chat["id"]));
    // The next win withdraws an offer: the widget hears of the offers and of the win, not of the withdrawal.
    let (race, next) = create_won_race(&node, &eve).await;
    end(&node, &eve, &next).await;
    let events = stream.until(|event| event["record"]["status"] == "FINISHED").await;
    let told: Vec<(&Value, &Value)> =
        events.iter().map(|event| (&event["record"]["id"], &event["record"]["status"])).collect();
    assert_eq!(events.iter().filter(|event| event["operation"] == "INSERT").count(), 2);
    assert_eq!(told.last().unwrap().0, &next["id"]);
    assert!(!told.contains(&(&race["chats"][1]["id"], &json!("FINISHED"))));
    assert!(events.iter().all(|event| event["operation"] != "SNAPSHOT" && event["operation"] != "READY"));
    // The agents' own view keeps the withdrawal.
    let mut agents = node.subscribe(&agent_of(&race["chats"][1]), document, json!({})).await;
    let rescinded = event_after(&mut agents, "chatChanged", async |_| {
        create_won_race(&node, &new_visitor()).await;
    })
    .await;
    assert_ne!(rescinded["operation"], "SNAPSHOT");
}

#[tokio::test]
async fn chat_changed_without_a_token_needs_the_setting_and_shows_the_callers_own_address_only() {
    let app = TestApp::new().await;
    let (closed, open) =
        (app.node().await, app.node_with(&["--anonymous-widgets", "--trusted-proxies", "127.0.0.1"]).await);
    let contract = demo::demo().contracts[0].id.to_string();
    let document = "subscription($contract: UUID) { chatChanged(contractId: $contract) { record { id } } }";
    let variables = json!({ "contract": contract });
    let refused = closed.subscribe("", document, variables.clone()).await.payload().await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN");
    // Asked for from elsewhere, also where the client claims otherwise.
    let elsewhere = "mutation($contract: UUID!) { createChat(input: {chat: {customerName: \"M\", headline: \"M\",
        contractId: $contract, ipAddress: \"127.0.0.1\"}}) { chat { id } } }";
    let request = reqwest::Client::new()
        .post(open.url("/graphql"))
        .bearer_auth(new_visitor())
        .header("x-forwarded-for", "203.0.113.9")
        .json(&json!({ "query": elsewhere, "variables": variables }));
    let other: Value = request.send().await.unwrap().json().await.unwrap();
    let other = other["data"]["createChat"]["chat"].clone();
    let own = create_chat(&open, &new_visitor(), &contract, None).await;
    start(&open, &agent_of(&own), &own).await;
    let mut stream = open.subscribe("", document, variables).await;
    assert_eq!(stream.event().await["record"]["id"], own["id"]);
    let token = crate::support::app::agent(demo::demo().contracts[0].agent_id);
    start(&open, &token, &other).await;
    end(&open, &token, &own).await;
    assert_eq!(stream.event().await["record"]["id"], own["id"], "not the other's");
}

#[tokio::test]
async fn contract_changed_sends_anonymous_callers_public_fields_only() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let contract = demo::demo().contracts[0].id;
    let document = "subscription($company: UUID) { contractChanged(companyId: $company) {
        operation record { id rate chatMissFee color version } } }";
    let company = json!({ "company": demo::COMPANY_ID });
    let nameless = node.subscribe("", document, json!({})).await.payload().await;
    assert_eq!(nameless["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    let foreign =
        node.subscribe(&new_visitor(), document, json!({ "company": uuid::Uuid::new_v4() })).await.payload().await;
    assert_eq!(foreign["errors"][0]["extensions"]["code"], "NOT_FOUND");
    for (token, rate_is_shown) in [(String::new(), false), (service(), true)] {
        let mut stream = node.subscribe(&token, document, company.clone()).await;
        let event = event_after(&mut stream, "contractChanged", async |turn| {
            let patch =
                json!({ "rate": f64::from(u32::try_from(turn).unwrap()) + 0.5, "color": format!("red {turn}") });
            node.fields(&service(), UPDATE_CONTRACT, json!({ "id": contract, "patch": patch })).await;
        })
        .await;
        assert_eq!(event["operation"], "UPDATE");
        assert_eq!(event["record"]["rate"].is_null(), !rate_is_shown);
        assert!(event["record"]["color"].as_str().unwrap().starts_with("red"));
    }
}

#[tokio::test]
async fn a_consumer_token_lives_for_months_and_a_bad_token_does_not_prevent_login() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let login = "mutation($key: UUID!) { consumerLogin(input: {publicKey: $key}) { jwtToken } }";
    let key = json!({ "key": demo::PUBLIC_KEY });
    let token = node.fields("not.a.token", login, key.clone()).await["consumerLogin"]["jwtToken"].take();
    let token = token.as_str().unwrap();
    let viewer = "query { viewer { id role websiteId } }";
    let known = node.fields(token, viewer, json!({})).await;
    let again = node.fields(token, login, key).await["consumerLogin"]["jwtToken"].take();
    assert_eq!(node.fields(again.as_str().unwrap(), viewer, json!({})).await, known);
    node.app.clock.advance(time::Duration::days(364));
    assert_eq!(node.fields(token, viewer, json!({})).await, known);
    node.app.clock.advance(time::Duration::days(2));
    assert_eq!(node.code(token, viewer, json!({})).await, "UNAUTHENTICATED");
}
