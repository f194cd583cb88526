//! Customers behind one address whose widgets send no token on their sockets: no word of the one reaches the other.

use serde_json::{Value, json};
use switchboard::demo;
use uuid::Uuid;

use super::{agent_of, create_chat, end, new_visitor, start, write};
use crate::support::{
    app::{Node, TestApp},
    widget::{IN_CHAT, MESSAGES, Tab, WAITING, new_id},
};

const WIDGETS: [&str; 1] = ["--anonymous-widgets"];

fn contract() -> String {
    demo::demo().contracts[0].id.to_string()
}

/// Subscribes as a widget that waits; the operation's id.
async fn wait_for_agent(tab: &mut Tab) -> String {
    let id = new_id();
    tab.subscribe(&id, WAITING, json!({ "contractId": contract() })).await;
    tab.settle().await;
    id
}

/// Subscribes as a widget in a chat; the operations' ids.
async fn enter(tab: &mut Tab, chat: &Value) -> [String; 2] {
    let ids = [new_id(), new_id()];
    tab.subscribe(&ids[0], IN_CHAT, json!({})).await;
    tab.subscribe(&ids[1], MESSAGES, json!({ "chatId": chat["id"] })).await;
    tab.settle().await;
    ids
}

/// Asks as a new visitor, whose token goes with HTTP only.
async fn ask(node: &Node) -> (String, Value) {
    let visitor = new_visitor();
    let chat = create_chat(node, &visitor, &contract(), None).await;
    (visitor, chat)
}

/// The next message is about this chat and in this state.
async fn told(tab: &mut Tab, chat: &Value, status: &str) {
    let event = tab.event().await;
    assert_eq!((&event["record"]["id"], &event["record"]["status"]), (&chat["id"], &json!(status)), "{event}");
}

#[tokio::test]
async fn in_the_chat_a_widget_is_told_of_its_end_and_of_nobody_elses() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let ((_, mine), (neighbour, theirs)) = (ask(&node).await, ask(&node).await);
    for chat in [&mine, &theirs] {
        assert_eq!(start(&node, &agent_of(chat), chat).await, "STARTED");
    }
    // Named after the stream of changes began, and before.
    for named_first in [false, true] {
        let mut tab = Tab::open(&node).await;
        let documents = [(IN_CHAT, json!({})), (MESSAGES, json!({ "chatId": mine["id"] }))];
        for turn in 0..2 {
            let (document, variables) = documents[usize::from(named_first) ^ turn].clone();
            tab.subscribe(&new_id(), document, variables).await;
        }
        tab.settle().await;
        write(&node, &neighbour, &theirs, "not for you").await;
        tab.is_silent().await;
        if named_first {
            assert_eq!(end(&node, &agent_of(&theirs), &theirs).await, "FINISHED");
            tab.is_silent().await;
            end(&node, &agent_of(&mine), &mine).await;
            told(&mut tab, &mine, "FINISHED").await;
        }
    }
}

#[tokio::test]
async fn of_two_behind_one_address_each_is_told_of_its_own_chat_only() {
    let app = TestApp::new().await;
    // Two servers: a pin holds on both.
    let (node, other) = (app.node_with(&WIDGETS).await, app.node_with(&WIDGETS).await);
    let (ada_token, ada) = ask(&node).await;
    let mut ada_tab = Tab::open(&node).await;
    let ada_waits = wait_for_agent(&mut ada_tab).await;
    let (ben_token, ben) = ask(&other).await;
    let mut ben_tab = Tab::open(&other).await;
    wait_for_agent(&mut ben_tab).await;
    // Before: Ben's wins first, while Ada waits.
    start(&node, &agent_of(&ben), &ben).await;
    told(&mut ben_tab, &ben, "STARTED").await;
    ada_tab.is_silent().await;
    enter(&mut ben_tab, &ben).await;
    // During: what Ben says, then Ada's own win, also across a cut of hers.
    write(&node, &ben_token, &ben, "Ben's secret").await;
    assert_eq!(ben_tab.event().await["record"]["text"], "Ben's secret");
    drop(ada_tab);
    start(&node, &agent_of(&ada), &ada).await;
    let mut stranger = Tab::open(&node).await;
    wait_for_agent(&mut stranger).await;
    let mut ada_tab = Tab::open(&other).await;
    ada_tab.subscribe(&ada_waits, WAITING, json!({ "contractId": contract() })).await;
    told(&mut ada_tab, &ada, "STARTED").await;
    enter(&mut ada_tab, &ada).await;
    write(&other, &ada_token, &ada, "Ada's secret").await;
    assert_eq!(ada_tab.event().await["record"]["text"], "Ada's secret");
    // After: each hears of its own end.
    end(&node, &agent_of(&ben), &ben).await;
    told(&mut ben_tab, &ben, "FINISHED").await;
    // A second time on the stream by which it waited.
    told(&mut ben_tab, &ben, "FINISHED").await;
    ada_tab.is_silent().await;
    end(&node, &agent_of(&ada), &ada).await;
    told(&mut ada_tab, &ada, "FINISHED").await;
    told(&mut ada_tab, &ada, "FINISHED").await;
    ben_tab.is_silent().await;
    stranger.is_silent().await;
}

#[tokio::test]
async fn while_two_wait_that_nobody_can_tell_apart_neither_is_told_anything() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let ((_, one), (_, two)) = (ask(&node).await, ask(&node).await);
    let mut tabs = [Tab::open(&node).await, Tab::open(&node).await];
    for tab in &mut tabs {
        wait_for_agent(tab).await;
    }
    for chat in [&one, &two] {
        start(&node, &agent_of(chat), chat).await;
    }
    for tab in &mut tabs {
        tab.is_silent().await;
    }
}

#[tokio::test]
async fn a_pin_goes_when_the_page_does_and_stays_through_a_cut() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let (_, chat) = ask(&node).await;
    // A reload: the page leaves, and the next has other ids.
    let mut tab = Tab::open(&node).await;
    wait_for_agent(&mut tab).await;
    tab.leave().await;
    let mut connection = app.sql().await;
    for _ in 0..100 {
        let pins: i64 = sqlx::query_scalar("select count(*) from stream_bookmark where pin is not null")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        if pins == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let mut tab = Tab::open(&node).await;
    let id = wait_for_agent(&mut tab).await;
    // A cut: nobody else is told meanwhile.
    drop(tab);
    let mut neighbour = Tab::open(&node).await;
    wait_for_agent(&mut neighbour).await;
    start(&node, &agent_of(&chat), &chat).await;
    neighbour.is_silent().await;
    // Another id is another stream, also with the same words.
    let mut tab = Tab::open(&node).await;
    tab.subscribe(&new_id(), WAITING, json!({ "contractId": contract() })).await;
    tab.is_silent().await;
    tab.subscribe(&id, WAITING, json!({ "contractId": contract() })).await;
    told(&mut tab, &chat, "STARTED").await;
    tab.is_silent().await;
}

#[tokio::test]
async fn many_that_ask_at_once_from_one_address_are_told_of_their_own_or_of_nothing() {
    let app = TestApp::new().await;
    let servers = [app.node_with(&WIDGETS).await, app.node_with(&WIDGETS).await];
    let customers = (0..12).map(|place| {
        let node = &servers[place % 2];
        async move {
            let (_, chat) = ask(node).await;
            let mut tab = Tab::open(node).await;
            tab.subscribe(&new_id(), WAITING, json!({ "contractId": contract() })).await;
            tab.settle().await;
            (chat, tab)
        }
    });
    let mut waiting = futures_util::future::join_all(customers).await;
    for (chat, _) in &waiting {
        start(&servers[0], &agent_of(chat), chat).await;
        end(&servers[1], &agent_of(chat), chat).await;
    }
    for (chat, tab) in &mut waiting {
        while let Ok(event) = tokio::time::timeout(crate::support::widget::SILENCE, tab.event()).await {
            assert_eq!(event["record"]["id"], chat["id"], "told of another's chat");
        }
    }
}

#[tokio::test]
async fn a_second_question_withdraws_the_first_one() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let visitor = new_visitor();
    let first = create_chat(&node, &visitor, &contract(), None).await;
    let neighbours = ask(&node).await.1;
    // Another contract of the same question does not withdraw it.
    let other = demo::demo().contracts[1].id.to_string();
    let key = first["key"].as_str().unwrap();
    assert_eq!(create_chat(&node, &visitor, &other, Some(key)).await["status"], "ACTIVE");
    let status = async |chat: &Value, token: &str| {
        let document = "query($id: UUID!) { chat(id: $id) { status closeReason } }";
        node.fields(token, document, json!({ "id": chat["id"] })).await["chat"].take()
    };
    assert_eq!(status(&first, &visitor).await["status"], "ACTIVE");
    let second_key = Uuid::new_v4().to_string();
    let second = create_chat(&node, &visitor, &contract(), Some(&second_key)).await;
    assert_eq!(status(&first, &visitor).await, json!({ "status": "FINISHED", "closeReason": "CANCELED" }));
    // A late repeat of the first question is no new one.
    create_chat(&node, &visitor, &contract(), Some(key)).await;
    assert_eq!(status(&second, &visitor).await["status"], "ACTIVE");
    assert_eq!(status(&neighbours, "").await["status"], "ACTIVE", "somebody else's");
    // One that is held stays.
    assert_eq!(start(&node, &agent_of(&second), &second).await, "STARTED");
    create_chat(&node, &visitor, &contract(), None).await;
    assert_eq!(status(&second, &visitor).await["status"], "STARTED");
}

#[tokio::test]
async fn an_end_between_the_start_and_the_new_stream_is_told_once() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let path = format!("/graphql?visitor={}_{}", new_id(), new_id());
    let in_chat = |chat: &Value| [(IN_CHAT, json!({})), (MESSAGES, json!({ "chatId": chat["id"] }))];
    // Named after the stream of changes began, and before; by the id alone, and by the key of the browser.
    for (named_first, has_key) in [(false, false), (true, false), (false, true)] {
        let place = if has_key { &path } else { "/graphql" };
        let (visitor, chat) = ask(&node).await;
        if has_key {
            // The first use of the key ties it to the token's visitor.
            let request = reqwest::Client::new().post(node.url(place)).bearer_auth(&visitor);
            request.json(&json!({ "query": "{ chats { nodes { id } } }" })).send().await.unwrap();
        }
        let agent = agent_of(&chat);
        assert_eq!(start(&node, &agent, &chat).await, "STARTED");
        end(&node, &agent, &chat).await;
        let mut tab = Tab::open_at(&node, place).await;
        let mut documents = in_chat(&chat);
        if named_first {
            documents.reverse();
        }
        let mut id = String::new();
        for (document, variables) in documents {
            let new = new_id();
            tab.subscribe(&new, document, variables).await;
            id = if document == IN_CHAT { new } else { id };
        }
        told(&mut tab, &chat, "FINISHED").await;
        tab.is_silent().await;
        // The same operation is not told again when it comes back.
        tab.rest().await;
        drop(tab);
        let mut back = Tab::open_at(&node, place).await;
        back.subscribe(&id, IN_CHAT, json!({})).await;
        back.subscribe(&new_id(), MESSAGES, json!({ "chatId": chat["id"] })).await;
        back.settle().await;
        back.is_silent().await;
        // Nor is a widget that waits for the answer to its next question.
        let mut waiting = Tab::open_at(&node, place).await;
        waiting.subscribe(&new_id(), MESSAGES, json!({ "chatId": chat["id"] })).await;
        waiting.settle().await;
        wait_for_agent(&mut waiting).await;
        waiting.is_silent().await;
    }
    // What ended long ago is history.
    let (_, chat) = ask(&node).await;
    assert_eq!(start(&node, &agent_of(&chat), &chat).await, "STARTED");
    end(&node, &agent_of(&chat), &chat).await;
    app.advance(121).await;
    let mut tab = Tab::open(&node).await;
    enter(&mut tab, &chat).await;
    tab.is_silent().await;
}
