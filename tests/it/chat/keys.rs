//! Browsers that name themselves by a key in their URLs, and tabs that have nothing but the id of their chat.

use serde_json::{Value, json};
use switchboard::demo;
use uuid::Uuid;

use super::{HEADLINE, agent_of, create_chat, new_visitor, start};
use crate::support::{
    app::{Node, TestApp, service, service_of},
    chat::other_company,
    socket::Socket,
    widget::{IN_CHAT, MESSAGES, Tab, WAITING, new_id},
};

const WIDGETS: [&str; 1] = ["--anonymous-widgets"];

/// A key as a page makes it.
fn new_key() -> String {
    format!("{}_{}", new_id(), new_id())
}

/// Posts a document at a path; status and body.
async fn post(node: &Node, path: &str, token: &str, origin: &str, document: &str, variables: Value) -> (u16, Value) {
    let mut request = reqwest::Client::new().post(node.url(path));
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    if !origin.is_empty() {
        request = request.header("origin", origin);
    }
    let response = request.json(&json!({ "query": document, "variables": variables })).send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    (response.status().as_u16(), response.json().await.unwrap())
}

const CREATE: &str = "mutation($contract: UUID!) { createChat(input: {chat: {customerName: \"Eve\", headline: \"Help\",
    contractId: $contract}}) { chat { id key status contract { agent { id } } } } }";
const CHATS: &str = "{ chats { nodes { id } } }";

/// The ids of the chats that this caller lists.
async fn listed(node: &Node, path: &str, token: &str) -> Vec<Value> {
    let (_, body) = post(node, path, token, "", CHATS, json!({})).await;
    let nodes = body["data"]["chats"]["nodes"].as_array().unwrap_or_else(|| panic!("{body}"));
    nodes.iter().map(|chat| chat["id"].clone()).collect()
}

#[tokio::test]
async fn a_browser_with_a_key_is_one_visitor_with_a_token_and_without() {
    let app = TestApp::new().await;
    let (node, other) = (app.node_with(&WIDGETS).await, app.node_with(&WIDGETS).await);
    let path = format!("/graphql?visitor={}", new_key());
    let contract = demo::demo().contracts[0].id.to_string();
    let variables = json!({ "contract": contract });
    // Without a token the key alone asks.
    let (_, body) = post(&node, &path, "", "", CREATE, variables.clone()).await;
    let first = body["data"]["createChat"]["chat"].clone();
    assert_eq!(first["status"], "ACTIVE", "{body}");
    // Its socket is told of it, and of nobody else's behind the same address; so is a socket of another server.
    let neighbour = create_chat(&node, &new_visitor(), &contract, None).await;
    let mut tabs = [Tab::open_at(&node, &path).await, Tab::open_at(&other, &path).await];
    for (tab, contract) in tabs.iter_mut().zip([json!({ "contractId": contract }), json!({})]) {
        tab.subscribe(&new_id(), WAITING, contract).await;
        tab.settle().await;
    }
    start(&node, &agent_of(&neighbour), &neighbour).await;
    start(&node, &agent_of(&first), &first).await;
    for tab in &mut tabs {
        assert_eq!(tab.event().await["record"]["id"], first["id"]);
        tab.is_silent().await;
    }
    // A token of a visitor of its own sees its earlier chats, and asks as the key's visitor.
    let token = new_visitor();
    let earlier = create_chat(&other, &token, &contract, None).await;
    assert_eq!(listed(&node, &path, &token).await, [earlier["id"].clone(), first["id"].clone()]);
    let (_, body) = post(&other, &path, &token, "", CREATE, variables).await;
    let second = body["data"]["createChat"]["chat"]["id"].clone();
    assert_eq!(listed(&node, &path, "").await, [second, first["id"].clone()]);
    assert_eq!(listed(&node, "/graphql", &token).await, [earlier["id"].clone()]);
    // Another key is another visitor.
    let stranger = format!("/graphql?visitor={}", new_key());
    assert_eq!(post(&node, &stranger, "", "", CHATS, json!({})).await.0, 401, "nobody yet");
    let mut tab = Tab::open_at(&node, &stranger).await;
    tab.subscribe(&new_id(), IN_CHAT, json!({})).await;
    tab.is_silent().await;
}

#[tokio::test]
async fn a_key_that_comes_with_a_token_first_stands_for_the_tokens_visitor() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let path = format!("/graphql?visitor={}", new_key());
    let contract = demo::demo().contracts[0].id.to_string();
    let token = new_visitor();
    let chat = create_chat(&node, &token, &contract, None).await;
    assert_eq!(listed(&node, &path, &token).await, [chat["id"].clone()]);
    assert_eq!(listed(&node, &path, "").await, [chat["id"].clone()]);
    // A login in that browser gives the same visitor.
    let login = "mutation($key: UUID!) { consumerLogin(input: {publicKey: $key}) { jwtToken } }";
    let (_, body) = post(&node, &path, "", "", login, json!({ "key": demo::PUBLIC_KEY })).await;
    let again = body["data"]["consumerLogin"]["jwtToken"].as_str().unwrap();
    assert_eq!(listed(&node, "/graphql", again).await, [chat["id"].clone()]);
}

#[tokio::test]
async fn a_wrong_key_is_refused_on_both_transports() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    for key in ["", "short", &"x".repeat(129), &format!("{}%20", "x".repeat(40))] {
        let path = format!("/graphql?visitor={key}");
        let (status, body) = post(&node, &path, "", "", "{ __typename }", json!({})).await;
        assert_eq!((status, &body["errors"][0]["extensions"]["code"]), (400, &json!("BAD_USER_INPUT")), "{key}");
        let protocol = [("sec-websocket-protocol", "graphql-transport-ws")];
        let mut socket = Socket::open_at(node.address, &path, &protocol).await.unwrap();
        let (code, reason) = socket.closed().await;
        assert_eq!(code, 4400);
        assert!(reason.starts_with("visitor:"), "{reason}");
    }
}

#[tokio::test]
async fn a_new_tab_without_a_token_sees_the_site_and_uses_its_chat() {
    let app = TestApp::new().await;
    let (node, closed) = (app.node_with(&WIDGETS).await, app.node().await);
    let contract = demo::demo().contracts[0].id;
    let chat = create_chat(&node, &new_visitor(), &contract.to_string(), None).await;
    start(&node, &agent_of(&chat), &chat).await;
    let website = "query($id: UUID!) { website(id: $id) { logoUrl color contracts(condition: {status: \"active\"}) {
        id name session rate agent { name } } } }";
    let id = json!({ "id": demo::WEBSITE_ID });
    let site = node.fields("", website, id.clone()).await["website"].take();
    assert_eq!(site["contracts"].as_array().unwrap().len(), demo::demo().contracts.len());
    assert!(site["contracts"][0]["rate"].is_null());
    let write =
        "mutation($chat: UUID!, $text: String!, $agent: Boolean) { createMessage(input: {message: {chatId: $chat,
        text: $text, author: \"Eve\", isAgent: $agent}}) { message { text isAgent } } }";
    let text = |text: &str, agent: bool| json!({ "chat": chat["id"], "text": text, "agent": agent });
    // The widget writes the headline itself.
    node.fields("", write, text(HEADLINE, false)).await;
    assert_eq!(node.fields("", write, text("hello", false)).await["createMessage"]["message"]["isAgent"], false);
    assert_eq!(node.code("", write, text("as the agent", true)).await, "FORBIDDEN");
    let read = "query($chat: UUID!) { messages(condition: {chatId: $chat}, orderBy: INSERTED_AT_ASC) { text } }";
    let variables = json!({ "chat": chat["id"] });
    let messages = node.fields("", read, variables.clone()).await["messages"].take();
    assert_eq!(messages, json!([{ "text": HEADLINE }, { "text": "hello" }]));
    // What only the visitor may do stays closed.
    let ask = (CREATE, json!({ "contract": contract }));
    let rename = (
        "mutation($chat: UUID!) { updateChat(input: {id: $chat, patch: {headline: \"x\"}}) { chat { id } } }",
        variables.clone(),
    );
    for (document, variables) in [ask, rename, (CHATS, json!({}))] {
        assert_eq!(node.code("", document, variables).await, "UNAUTHENTICATED", "{document}");
    }
    let finish =
        "mutation($chat: UUID!) { updateChat(input: {id: $chat, patch: {status: FINISHED}}) { chat { status } } }";
    let rate = "mutation($chat: UUID!) { createRate(input: {rate: {rating: 5, chatId: $chat}}) { rate { rating } } }";
    for (document, variables) in
        [(website, id), (write, text("closed", false)), (finish, variables.clone()), (rate, variables.clone())]
    {
        assert_eq!(closed.code("", document, variables).await, "UNAUTHENTICATED", "{document}");
    }
    assert_eq!(node.fields("", finish, variables.clone()).await["updateChat"]["chat"]["status"], "FINISHED");
    assert_eq!(node.fields("", rate, variables).await["createRate"]["rate"]["rating"], 5);
    let unknown = json!({ "chat": uuid::Uuid::new_v4() });
    assert_eq!(node.code("", finish, unknown).await, "NOT_FOUND");
}

#[tokio::test]
async fn a_page_sees_what_belongs_to_the_website_that_lists_its_origin() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let create = "mutation($website: WebsiteInput!) { createWebsite(input: {website: $website}) { website { id } } }";
    let website = json!({ "website": { "allowedOrigins": ["https://shop.example"] } });
    let shop = node.fields(&service(), create, website).await["createWebsite"]["website"]["id"].take();
    let contract =
        "mutation($contract: ContractInput!) { createContract(input: {contract: $contract}) { contract { id } } }";
    let new = json!({ "contract": { "websiteId": shop, "session": 1 } });
    let contract = node.fields(&service(), contract, new).await["createContract"]["contract"]["id"].take();
    let chat = node.fields(&service(), CREATE, json!({ "contract": contract })).await["createChat"]["chat"].take();
    let demo_chat = create_chat(&node, &new_visitor(), &demo::demo().contracts[0].id.to_string(), None).await;
    let read = "query($id: UUID!) { chat(id: $id) { status } }";
    for (chat, expected) in [(&chat, Value::Null), (&demo_chat, json!("FORBIDDEN"))] {
        let (_, body) = post(&node, "/graphql", "", "https://shop.example", read, json!({ "id": chat["id"] })).await;
        assert_eq!(body["errors"][0]["extensions"]["code"], expected, "{body}");
    }
    let (_, body) = post(
        &node,
        "/graphql",
        "",
        "https://shop.example",
        "query($id: UUID!) { website(id: $id) { id } }",
        json!({ "id": demo::WEBSITE_ID }),
    )
    .await;
    assert_eq!(body["errors"][0]["extensions"]["code"], "FORBIDDEN");
    // On sockets: of no website's origin none opens; a listed origin hears of its own website's chats only.
    let socket = async |origin: &'static str| {
        let headers = [("sec-websocket-protocol", "graphql-transport-ws"), ("origin", origin)];
        Socket::open(node.address, &headers).await
    };
    for origin in ["null", "https://evil.example"] {
        assert_eq!(socket(origin).await.err().map(|refused| refused.status), Some(403), "{origin}");
    }
    let mut socket = socket("https://shop.example").await.unwrap();
    socket.send(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.next().await["type"], "connection_ack");
    let variables = json!({ "chatId": demo_chat["id"] });
    socket
        .send(json!({ "type": "subscribe", "id": "1", "payload": { "query": MESSAGES, "variables": variables } }))
        .await;
    assert_eq!(socket.next().await["payload"]["errors"][0]["extensions"]["code"], "FORBIDDEN");
}

const CONTRACT_CHANGED: &str =
    "subscription($company: UUID) { contractChanged(companyId: $company) { operation record { id } } }";

#[tokio::test]
async fn a_page_without_a_token_hears_of_the_contracts_of_its_own_company_only() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let other = other_company(&app).await;
    let create = "mutation($website: WebsiteInput!) { createWebsite(input: {website: $website}) { website { id } } }";
    for (token, origin) in [(service(), "https://shop.example"), (service_of(other), "https://other.example")] {
        node.fields(&token, create, json!({ "website": { "allowedOrigins": [origin] } })).await;
    }
    let subscribed = async |origin: &'static str, company: Uuid| {
        let headers = [("sec-websocket-protocol", "graphql-transport-ws"), ("origin", origin)];
        let mut socket = Socket::open(node.address, &headers[..if origin.is_empty() { 1 } else { 2 }]).await.unwrap();
        socket.send(json!({ "type": "connection_init" })).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        let payload = json!({ "query": CONTRACT_CHANGED, "variables": { "company": company } });
        socket.send(json!({ "type": "subscribe", "id": "1", "payload": payload })).await;
        // A message of the stream, or its refusal, is the first with its id.
        socket.send(json!({ "type": "subscribe", "id": "2", "payload": { "query": "{ __typename }" } })).await;
        loop {
            let mut message = socket.next().await;
            if message["id"] == "1" {
                return message["payload"]["errors"][0]["extensions"]["code"].take();
            }
            if message["id"] == "2" && message["type"] == "complete" {
                return Value::Null;
            }
        }
    };
    let own = demo::COMPANY_ID;
    for (origin, company, expected) in [
        ("https://shop.example", own, Value::Null),
        ("https://shop.example", other, json!("FORBIDDEN")),
        ("https://other.example", own, json!("FORBIDDEN")),
        ("https://other.example", other, Value::Null),
        // No page, so no page's rights.
        ("", other, Value::Null),
    ] {
        assert_eq!(subscribed(origin, company).await, expected, "{origin} {company}");
    }
}

#[tokio::test]
async fn the_contracts_of_a_visitors_chats_are_listed_under_each_of_its_names() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let path = format!("/graphql?visitor={}", new_key());
    let [of_token, of_key, of_none] = [0, 1, 2].map(|contract| demo::demo().contracts[contract].id.to_string());
    // The key stands for a visitor of its own before the token comes with it.
    post(&node, &path, "", "", CREATE, json!({ "contract": of_key })).await;
    let token = new_visitor();
    create_chat(&node, &token, &of_token, None).await;
    let pause =
        "mutation($id: UUID!) { updateContract(input: {id: $id, patch: {status: \"inactive\"}}) { contract { id } } }";
    for contract in [&of_token, &of_key, &of_none] {
        node.fields(&service(), pause, json!({ "id": contract })).await;
    }
    let (_, body) = post(&node, &path, &token, "", "{ contracts { id } }", json!({})).await;
    let ids: Vec<&str> =
        body["data"]["contracts"].as_array().unwrap().iter().map(|contract| contract["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&&*of_token) && ids.contains(&&*of_key) && !ids.contains(&&*of_none), "{ids:?}");
    let one = "query($id: UUID!) { contract(id: $id) { id } }";
    for (contract, expected) in [(&of_token, json!(of_token)), (&of_key, json!(of_key)), (&of_none, Value::Null)] {
        let (_, body) = post(&node, &path, &token, "", one, json!({ "id": contract })).await;
        assert_eq!(body["data"]["contract"]["id"], expected, "{body}");
    }
}
