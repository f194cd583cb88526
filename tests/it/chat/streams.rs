//! Streams that many read: what is made once for all of them shows each only what is its own.

use serde_json::{Value, json};

use super::{agent_of, create_race, new_visitor, start};
use crate::support::app::{TestApp, service};

const RACE: &str = "subscription($key: UUID!) { chatRace(key: $key) {
    operation record { state version winner { id } chats { id status } failures { code } } } }";
const RENAMED: &str = "subscription($key: UUID!) { race: chatRace(key: $key) { operation record { state } cursor } }";

/// The ids of the record's chats.
fn chats(event: &Value) -> Vec<&Value> {
    event["record"]["chats"].as_array().unwrap().iter().map(|chat| &chat["id"]).collect()
}

#[tokio::test]
async fn a_shared_rendering_shows_each_reader_only_what_it_may_see() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let visitor = new_visitor();
    let race = create_race(&node, &visitor).await;
    let key = json!({ "key": race["key"] });
    let (first, second) = (&race["chats"][0], &race["chats"][1]);
    let readers =
        [service(), service(), service(), visitor.clone(), agent_of(first), agent_of(first), agent_of(second)];
    let mut streams = Vec::new();
    for reader in &readers {
        let mut stream = node.subscribe(reader, RACE, key.clone()).await;
        stream.ready().await;
        streams.push(stream);
    }
    let mut renamed = node.subscribe(&service(), RENAMED, key.clone()).await;
    renamed.ready().await;
    assert_eq!(start(&node, &agent_of(first), first).await, "STARTED");

    let mut told = Vec::new();
    for stream in &mut streams {
        told.push(stream.event().await);
    }
    for event in &told {
        assert_eq!((&event["operation"], &event["record"]["state"]), (&json!("UPDATE"), &json!("WON")));
    }
    for whole in &told[..4] {
        assert_eq!(chats(whole).len(), race["chats"].as_array().unwrap().len());
        assert_eq!(whole["record"]["winner"]["id"], first["id"]);
    }
    for winner in &told[4..6] {
        assert_eq!(chats(winner), [&first["id"]]);
        assert_eq!(winner["record"]["winner"]["id"], first["id"]);
    }
    assert_eq!(chats(&told[6]), [&second["id"]], "an agent sees its own chat only");
    assert_eq!(told[6]["record"]["winner"], Value::Null);
    let payload = renamed.payload().await;
    assert_eq!(payload["data"]["race"]["record"], json!({ "state": "WON" }), "another document, another message");
    assert!(payload["data"]["race"]["cursor"].is_string());
    node.stop().await;
}
