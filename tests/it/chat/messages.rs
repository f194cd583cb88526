//! Messages: rights, repeats, bounds, order, and a chat that ends at the same moment.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{HEADLINE, WRITE, agent_of, create_race, create_won_race, end, new_visitor, texts, write};
use crate::support::app::{Node, TestApp, service};

#[tokio::test]
async fn only_a_started_chat_takes_messages_and_the_role_decides_the_side() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    let asked = create_race(&node, &eve).await;
    let waiting = &asked["chats"][1];
    let early = json!({ "chat": waiting["id"], "text": "Hello?" });
    assert_eq!(node.code(&eve, WRITE, early).await, "CONFLICT");
    let (race, chat) = create_won_race(&node, &eve).await;
    let as_agent = json!({ "chat": chat["id"], "text": "Free money", "agent": true });
    assert_eq!(node.code(&eve, WRITE, as_agent).await, "FORBIDDEN");
    assert_eq!(write(&node, &eve, &chat, "  two  \n words ").await["text"], "two  \n words");
    let by_agent = json!({ "chat": chat["id"], "text": "Hi", "agent": false });
    let by_agent = node.fields(&agent_of(&chat), WRITE, by_agent).await;
    assert_eq!(by_agent["createMessage"]["message"]["isAgent"], true);
    let loser = agent_of(&race["chats"][1]);
    assert_eq!(node.code(&loser, WRITE, json!({ "chat": chat["id"], "text": "x" })).await, "NOT_FOUND");
    let id = Uuid::new_v4();
    let named = |text: &str| json!({ "id": id, "chat": chat["id"], "text": text });
    let first = node.fields(&eve, WRITE, named("once")).await;
    assert_eq!(node.fields(&eve, WRITE, named("once")).await, first);
    assert_eq!(node.code(&eve, WRITE, named("twice")).await, "IDEMPOTENCY_MISMATCH");
    assert_eq!(end(&node, &eve, &chat).await, "FINISHED");
    assert_eq!(node.fields(&eve, WRITE, named("once")).await, first, "a repeat is answered also after the end");
    assert_eq!(node.code(&eve, WRITE, json!({ "chat": chat["id"], "text": "late" })).await, "CONFLICT");
    assert_eq!(texts(&node, &service(), &chat).await, [HEADLINE, "two  \n words", "Hi", "once"]);
}

#[tokio::test]
async fn an_argument_out_of_bounds_is_refused_with_its_name() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    let (_, chat) = create_won_race(&node, &eve).await;
    let rate = "mutation($chat: UUID!, $rating: Int!) { createRate(input: {rate: {chatId: $chat, rating: $rating}}) {
        rate { id chatId rating } } }";
    let update = "mutation($chat: UUID!, $patch: ChatPatch!) { updateChat(input: {id: $chat, patch: $patch}) {
        chat { id } } }";
    let table = [
        (WRITE, json!({ "chat": chat["id"], "text": "   " }), "message.text"),
        (WRITE, json!({ "chat": chat["id"], "text": "x".repeat(10_001) }), "message.text"),
        (WRITE, json!({ "chat": chat["id"], "text": "a\u{7}b" }), "message.text"),
        (WRITE, json!({ "chat": chat["id"], "text": "a\u{0}b" }), "$text: "),
        (rate, json!({ "chat": chat["id"], "rating": 0 }), "rate.rating"),
        (rate, json!({ "chat": chat["id"], "rating": 6 }), "rate.rating"),
        (update, json!({ "chat": chat["id"], "patch": { "status": "ACTIVE" } }), "patch.status"),
        (update, json!({ "chat": chat["id"], "patch": { "headline": null } }), "patch.headline"),
        (update, json!({ "chat": chat["id"], "patch": { "customerName": "a\nb" } }), "patch.customerName"),
        ("query { messages { id } }", json!({}), "condition.chatId"),
        ("query { chats(first: 101) { nodes { id } } }", json!({}), "first"),
    ];
    for (document, variables, field) in table {
        let answer = node.run(&eve, document, variables).await;
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{answer:?}");
        assert!(error["message"].as_str().unwrap().contains(field), "{answer:?}");
    }
    write(&node, &eve, &chat, &"é".repeat(10_000)).await;
}

#[tokio::test]
async fn a_message_that_meets_the_end_is_written_before_it_or_refused() {
    let app = TestApp::new().await;
    let nodes = [app.node().await, app.node().await];
    let eve = new_visitor();
    for _ in 0..10 {
        let (_, chat) = create_won_race(&nodes[0], &eve).await;
        let agent = agent_of(&chat);
        let message = |text: &str| json!({ "chat": chat["id"], "text": text });
        let (one, _, two) = tokio::join!(
            nodes[0].run(&eve, WRITE, message("one")),
            end(&nodes[1], &agent, &chat),
            nodes[1].run(&agent, WRITE, message("two")),
        );
        let mut expected = 1;
        for answer in [one, two] {
            match answer["errors"][0]["extensions"]["code"].as_str() {
                None => expected += 1,
                Some(code) => assert_eq!(code, "CONFLICT", "{answer:?}"),
            }
        }
        let document = "query($id: ID!) { events(subjectType: \"messages\", subjectId: $id) { nodes { version } } }";
        let events = nodes[0].fields(&service(), document, json!({ "id": chat["id"] })).await;
        let versions: Vec<i64> = events["events"]["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["version"].as_i64().unwrap())
            .collect();
        assert_eq!(versions, (1..=expected).collect::<Vec<i64>>(), "one event each, no holes");
        assert_eq!(texts(&nodes[1], &eve, &chat).await.len(), versions.len());
    }
}

#[tokio::test]
async fn message_added_sends_the_state_resumes_and_follows_changes() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    let (_, chat) = create_won_race(&node, &eve).await;
    let document = "subscription($chat: UUID!, $after: Cursor) {
        messageAdded(chatId: $chat, after: $after) { operation record { text isAgent } cursor resync } }";
    let mut stream = node.subscribe(&eve, document, json!({ "chat": chat["id"] })).await;
    let begun = stream.until(|event| event["operation"] == "READY").await;
    let operations: Vec<&Value> = begun.iter().map(|event| &event["operation"]).collect();
    assert_eq!(operations, ["SNAPSHOT", "READY"]);
    write(&node, &agent_of(&chat), &chat, "one").await;
    let one = stream.event().await;
    assert_eq!((&one["operation"], &one["record"]["text"]), (&json!("INSERT"), &json!("one")));
    drop(stream);
    write(&node, &eve, &chat, "two").await;
    let after = json!({ "chat": chat["id"], "after": one["cursor"] });
    let mut stream = node.subscribe(&eve, document, after).await;
    let resumed = stream.until(|event| event["operation"] == "READY").await;
    assert_eq!(resumed.len(), 2, "{resumed:?}");
    assert_eq!(resumed[0]["record"]["text"], "two");
}

#[tokio::test]
async fn messages_keep_their_order_when_the_clock_is_put_back() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    let (_, chat) = create_won_race(&node, &eve).await;
    let document = "subscription($chat: UUID!, $after: Cursor) {
        messageAdded(chatId: $chat, after: $after) { operation record { text } cursor resync } }";
    let mut stream = node.subscribe(&eve, document, json!({ "chat": chat["id"] })).await;
    stream.until(|event| event["operation"] == "READY").await;
    write(&node, &eve, &chat, "one").await;
    write(&node, &eve, &chat, "two").await;
    let one = stream.event().await;
    assert_eq!(one["record"]["text"], "one");
    app.advance(-2).await;
    write(&node, &agent_of(&chat), &chat, "three").await;
    write(&node, &eve, &chat, "four").await;
    let whole = [HEADLINE, "one", "two", "three", "four"];
    assert_eq!(texts(&node, &eve, &chat).await, whole);

    // Resumed after "one", each of the others is sent once and in order; a new stream begins with all of them.
    for (after, expected) in [(one["cursor"].clone(), &whole[2..]), (Value::Null, &whole[..])] {
        let mut stream = node.subscribe(&eve, document, json!({ "chat": chat["id"], "after": after })).await;
        let mut sent = stream.until(|event| event["operation"] == "READY").await;
        assert_eq!(sent.pop().unwrap()["resync"], false);
        let sent: Vec<&str> = sent.iter().map(|event| event["record"]["text"].as_str().unwrap()).collect();
        assert_eq!(sent, expected);
    }
    let mut pages = Vec::new();
    let mut after = Value::Null;
    for _ in 0..3 {
        let page = "query($id: UUID!, $after: String) { chat(id: $id) { messages(first: 2, after: $after) {
            nodes { text } pageInfo { endCursor } } } }";
        let mut data = node.fields(&eve, page, json!({ "id": chat["id"], "after": after })).await;
        let mut page = data["chat"]["messages"].take();
        pages.extend(page["nodes"].as_array().unwrap().iter().map(|node| node["text"].as_str().unwrap().to_owned()));
        after = page["pageInfo"]["endCursor"].take();
    }
    assert_eq!(pages, whole);
}

/// A call of `createMessage`.
fn write_call(chat: &Value, text: &str) -> Value {
    json!({ "query": WRITE, "variables": { "chat": chat["id"], "text": text } })
}

/// The texts that were pipelined: message 0, message 1 and so on.
fn in_order(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("message {number}")).collect()
}

async fn pipeline(node: &Node, chat: &Value, count: usize) {
    let mut socket = node.socket(&service()).await;
    for (number, text) in in_order(count).iter().enumerate() {
        let payload = write_call(chat, text);
        socket.send(json!({ "type": "subscribe", "id": number.to_string(), "payload": payload })).await;
    }
    let mut completed = 0;
    while completed < count {
        let message = socket.next().await;
        assert!(message["payload"].get("errors").is_none(), "{message}");
        completed += usize::from(message["type"] == "complete");
    }
}

#[tokio::test]
async fn messages_that_one_socket_sends_without_waiting_keep_their_order() {
    const PIPELINED: usize = 95;
    let app = TestApp::new().await;
    let node = app.node().await;
    let mut chats = Vec::new();
    for _ in 0..4 {
        chats.push(create_won_race(&node, &new_visitor()).await.1);
    }
    // Several at once, so that batches of different sizes run.
    futures_util::future::join_all(chats.iter().map(|chat| pipeline(&node, chat, PIPELINED))).await;
    for chat in &chats {
        assert_eq!(texts(&node, &service(), chat).await[1..], in_order(PIPELINED));
    }
}

#[tokio::test]
async fn messages_of_one_http_batch_keep_their_order() {
    const BATCH: usize = 10;
    let app = TestApp::new().await;
    let node = app.node().await;
    let (_, chat) = create_won_race(&node, &new_visitor()).await;
    let calls: Vec<Value> = in_order(BATCH).iter().map(|text| write_call(&chat, text)).collect();
    let answer = node.post(&service(), Value::from(calls).to_string()).await.unwrap();
    let text = |one: &Value| one["data"]["createMessage"]["message"]["text"].as_str().unwrap().to_owned();
    let written: Vec<String> = answer.body.as_array().unwrap().iter().map(text).collect();
    assert_eq!(written, in_order(BATCH));
    assert_eq!(texts(&node, &service(), &chat).await[1..], in_order(BATCH));
}
