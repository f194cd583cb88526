//! Streams of deployed widgets that come back after a cut: they are sent what they missed, once.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use switchboard::demo;
use tokio::{
    io,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};

use super::{agent_of, create_chat, end, new_visitor, start, write};
use crate::support::{
    app::{Node, TestApp},
    client::Client,
    event_path::PATIENCE,
    widget::{IN_CHAT, MESSAGES, Tab, WAITING, new_id},
};

const WIDGETS: [&str; 1] = ["--anonymous-widgets"];

async fn started(node: &Node) -> (String, Value) {
    let visitor = new_visitor();
    let chat = create_chat(node, &visitor, &demo::demo().contracts[0].id.to_string(), None).await;
    start(node, &agent_of(&chat), &chat).await;
    (visitor, chat)
}

/// The texts of the next messages, until `last`.
async fn heard(tab: &mut Tab, last: &str) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.last().is_none_or(|text| text != last) {
        texts.push(tab.event().await["record"]["text"].as_str().unwrap().to_owned());
    }
    texts
}

/// The place that is kept for the only stream.
async fn place(app: &TestApp) -> String {
    sqlx::query_scalar("select cursor from stream_bookmark").fetch_one(&mut app.sql().await).await.unwrap()
}

/// Reads until the server has written down what has arrived: the place, which was `before`, has moved, and rests. Where it
/// is now.
async fn until_written(app: &TestApp, tab: &mut Tab, before: &str) -> String {
    let moves = async {
        loop {
            let seen = place(app).await;
            tab.rest().await;
            if seen != before && seen == place(app).await {
                return seen;
            }
        }
    };
    timeout(PATIENCE, moves).await.expect("a place is written a moment after it was reached")
}

#[tokio::test]
async fn messages_that_were_written_while_a_socket_was_away_come_when_it_is_back() {
    let app = TestApp::new().await;
    let (mut node, mut next) = (app.node_with(&WIDGETS).await, app.node_with(&WIDGETS).await);
    let (_, chat) = started(&node).await;
    let agent = agent_of(&chat);
    let variables = json!({ "chatId": chat["id"] });
    let id = new_id();
    let mut tab = Tab::open(&node).await;
    tab.subscribe(&id, MESSAGES, variables.clone()).await;
    tab.settle().await;
    let mut written = 0;
    let mut all = Vec::new();
    let mut kept = place(&app).await;
    for round in 0..4 {
        for _ in 0..2 {
            written += 1;
            write(&node, &agent, &chat, &format!("message {written}")).await;
        }
        all.extend(heard(&mut tab, &format!("message {written}")).await);
        kept = until_written(&app, &mut tab, &kept).await;
        drop(tab);
        for _ in 0..3 {
            written += 1;
            write(&node, &agent, &chat, &format!("message {written}")).await;
        }
        // On the other server, and on the one that sent it before.
        if round % 2 == 0 {
            std::mem::swap(&mut node, &mut next);
        }
        tab = Tab::open(&node).await;
        tab.subscribe(&id, MESSAGES, variables.clone()).await;
        all.extend(heard(&mut tab, &format!("message {written}")).await);
        kept = until_written(&app, &mut tab, &kept).await;
    }
    let expected: Vec<String> = (1..=written).map(|number| format!("message {number}")).collect();
    assert_eq!(all, expected);
    tab.is_silent().await;
}

/// A road to a server over which nothing comes back any more once it is told so, while both ends stay open.
async fn road(to: SocketAddr, mut is_dead: watch::Receiver<bool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(to).await.unwrap();
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let there = io::copy(&mut from_client, &mut to_server);
        let back = async {
            let dies = async { is_dead.wait_for(|is_dead| *is_dead).await.is_ok() };
            let dead = tokio::select! {
                _ = io::copy(&mut from_server, &mut to_client) => false,
                dead = dies => dead,
            };
            if dead {
                std::future::pending::<()>().await;
            }
        };
        tokio::join!(there, back)
    });
    address
}

#[tokio::test]
async fn what_was_written_to_a_connection_that_was_dead_comes_when_the_socket_is_back() {
    let app = TestApp::new().await;
    let (node, next) = (app.node_with(&WIDGETS).await, app.node_with(&WIDGETS).await);
    let (_, chat) = started(&node).await;
    let agent = agent_of(&chat);
    let (id, variables) = (new_id(), json!({ "chatId": chat["id"] }));
    let dies = watch::Sender::new(false);
    let mut tab = Tab::open(&Client::new(road(node.address, dies.subscribe()).await)).await;
    tab.subscribe(&id, MESSAGES, variables.clone()).await;
    tab.settle().await;
    let before = place(&app).await;
    write(&node, &agent, &chat, "heard").await;
    assert_eq!(heard(&mut tab, "heard").await, ["heard"]);
    until_written(&app, &mut tab, &before).await;
    dies.send_replace(true);
    // The server's kernel takes them, and nobody ever gets them.
    write(&node, &agent, &chat, "lost").await;
    write(&node, &agent, &chat, "lost too").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for back in [&next, &node] {
        let mut tab = Tab::open(back).await;
        tab.subscribe(&id, MESSAGES, variables.clone()).await;
        assert_eq!(heard(&mut tab, "lost too").await, ["lost", "lost too"]);
        // It does not answer the ping either, so that the second return is told the same.
        drop(tab);
    }
}

#[tokio::test]
async fn a_shutdown_leaves_the_exact_place_and_the_next_server_sends_the_end() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let (_, chat) = started(&node).await;
    let agent = agent_of(&chat);
    let ids = [new_id(), new_id()];
    let mut tab = Tab::open(&node).await;
    tab.subscribe(&ids[0], IN_CHAT, json!({})).await;
    tab.subscribe(&ids[1], MESSAGES, json!({ "chatId": chat["id"] })).await;
    tab.settle().await;
    write(&node, &agent, &chat, "before").await;
    assert_eq!(tab.event().await["record"]["text"], "before");
    let next = app.node_with(&WIDGETS).await;
    node.app.shutdown.drain.cancel();
    assert_eq!(tab.closed().await, 1001);
    node.stop().await;
    write(&next, &agent, &chat, "meanwhile").await;
    end(&next, &agent, &chat).await;
    let mut tab = Tab::open(&next).await;
    // The library opens them in their order: the stream of changes is back before the chat is named.
    tab.subscribe(&ids[0], IN_CHAT, json!({})).await;
    tab.subscribe(&ids[1], MESSAGES, json!({ "chatId": chat["id"] })).await;
    let mut told = [tab.next().await, tab.next().await];
    told.sort_by_key(|(id, _)| *id != ids[0]);
    assert_eq!(told[0].1["record"]["status"], "FINISHED");
    assert_eq!(told[1].1["record"]["text"], "meanwhile");
    tab.is_silent().await;
}

#[tokio::test]
async fn an_operation_that_its_client_has_ended_begins_anew() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let (visitor, chat) = started(&node).await;
    let (id, variables) = (new_id(), json!({ "chatId": chat["id"] }));
    let mut tab = Tab::open(&node).await;
    tab.subscribe(&id, MESSAGES, variables.clone()).await;
    tab.settle().await;
    tab.leave().await;
    write(&node, &visitor, &chat, "meanwhile").await;
    let mut tab = Tab::open(&node).await;
    tab.subscribe(&id, MESSAGES, variables).await;
    tab.settle().await;
    tab.is_silent().await;
    write(&node, &visitor, &chat, "now").await;
    assert_eq!(tab.event().await["record"]["text"], "now");
}

#[tokio::test]
async fn an_id_that_could_be_guessed_opens_nobody_elses_place() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let (visitor, chat) = started(&node).await;
    let variables = json!({ "chatId": chat["id"] });
    for id in ["1", "message-7"] {
        let mut tab = Tab::open(&node).await;
        tab.subscribe(id, MESSAGES, variables.clone()).await;
        tab.settle().await;
        drop(tab);
        write(&node, &visitor, &chat, "meanwhile").await;
        let mut tab = Tab::open(&node).await;
        tab.subscribe(id, MESSAGES, variables.clone()).await;
        tab.settle().await;
        tab.is_silent().await;
    }
}

#[tokio::test]
async fn the_started_chat_that_a_stream_begins_with_comes_once() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let (visitor, chat) = started(&node).await;
    let id = new_id();
    for (turn, payload) in [json!({ "authToken": visitor }), json!({ "authToken": visitor })].into_iter().enumerate() {
        let mut tab = Tab::open_with(&node, "/graphql", payload).await;
        tab.subscribe(&id, WAITING, json!({})).await;
        if turn == 0 {
            assert_eq!(tab.event().await["record"]["id"], chat["id"]);
        }
        tab.is_silent().await;
    }
}

#[tokio::test]
async fn a_chat_that_is_named_and_pinned_to_comes_once_on_each_stream() {
    let app = TestApp::new().await;
    let node = app.node_with(&WIDGETS).await;
    let visitor = new_visitor();
    let contract = demo::demo().contracts[0].id.to_string();
    let chat = create_chat(&node, &visitor, &contract, None).await;
    let ids = [new_id(), new_id()];
    let waiting = json!({ "contractId": contract });
    let mut tab = Tab::open(&node).await;
    tab.subscribe(&ids[0], WAITING, waiting.clone()).await;
    tab.settle().await;
    start(&node, &agent_of(&chat), &chat).await;
    assert_eq!(tab.event().await["record"]["status"], "STARTED");
    tab.rest().await;
    drop(tab);
    // Back in the other order: named before the pin is known again.
    let mut tab = Tab::open(&node).await;
    tab.subscribe(&ids[1], MESSAGES, json!({ "chatId": chat["id"] })).await;
    tab.settle().await;
    tab.subscribe(&ids[0], WAITING, waiting).await;
    tab.settle().await;
    end(&node, &visitor, &chat).await;
    let (id, event) = tab.next().await;
    assert_eq!((id, &event["record"]["status"]), (ids[0].clone(), &json!("FINISHED")));
    tab.is_silent().await;
}
