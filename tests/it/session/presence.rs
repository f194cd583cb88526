//! Presence: silence, outages, coming back, ends.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{CHANGED, HEALTH, PING, SELECT, choice, count_events, participant, ping, recover, select, state, turns};
use crate::support::app::{TestApp, service};

/// A participant, if an event is about it.
fn changed<'a>(event: &'a Value, user: &str) -> Option<&'a Value> {
    event["changedUsers"].as_array().unwrap().iter().find(|changed| changed["userId"] == user)
}

#[tokio::test]
async fn a_silent_participant_is_disconnected_once_and_comes_back_in_one_step() {
    let app = TestApp::new().await;
    let nodes = [app.node().await, app.node().await];
    select(&nodes[0], "s", "ann", "daily").await;
    for user in ["ann", "bob"] {
        state(&nodes[0], "s", user, "CONNECTED", "daily").await;
    }
    let mut stream = nodes[1].subscribe(&service(), CHANGED, json!({ "id": "s" })).await;
    stream.ready().await;
    app.advance(31).await;
    let moved = Instant::now();
    nodes[0].data(&service(), PING, ping("s", "bob")).await;
    let gone = stream.event().await;
    assert!(moved.elapsed() < Duration::from_secs(2), "{:?}", moved.elapsed());
    // Bob's ping and the sweep race; if the sweep came first, bob is back at once, perhaps in the same message.
    assert_eq!(changed(&gone, "ann").unwrap()["connectionState"], "RECONNECTING", "{gone}");
    // Many heartbeats at once over both servers: back in one step.
    let token = service();
    let pings = (0..20).map(|n| nodes[n % 2].data(&token, PING, ping("s", "ann")));
    join_all(pings).await;
    let back = stream.until(|event| changed(event, "ann").is_some()).await;
    let back = changed(back.last().unwrap(), "ann").unwrap();
    assert_eq!((&back["connectionState"], &back["reconnectAttempts"]), (&json!("CONNECTED"), &json!(1)));
    assert_eq!(count_events(&app, "s", "SessionUsersDisconnected").await, 1, "reported once");
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn silence_during_an_outage_of_all_servers_counts_for_nobody() {
    let app = TestApp::new().await;
    let node = app.node().await;
    state(&node, "s", "ann", "CONNECTED", "none").await;
    node.stop().await;
    app.advance_without_service(3_000).await;
    let node = app.node().await;
    let mut stream = node.subscribe(&service(), CHANGED, json!({ "id": "s" })).await;
    stream.ready().await;
    turns(&app, "presence", 3).await;
    assert_eq!(count_events(&app, "s", "SessionUsersDisconnected").await, 0);
    // From the end of the outage on, silence counts.
    app.advance(3_032).await;
    assert_eq!(stream.event().await["changedUsers"][0]["userId"], "ann");
    node.stop().await;
}

#[tokio::test]
async fn a_short_restart_delays_nothing() {
    let app = TestApp::new().await;
    let node = app.node().await;
    state(&node, "s", "ann", "CONNECTED", "none").await;
    app.advance(28).await;
    // The sweep takes a turn under the moved clock before the restart.
    turns(&app, "presence", 2).await;
    node.stop().await;
    app.advance(31).await;
    let node = app.node().await;
    let started = Instant::now();
    while count_events(&app, "s", "SessionUsersDisconnected").await == 0 {
        assert!(started.elapsed() < Duration::from_secs(3), "due before the start, disconnected by the first turns");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn who_has_left_is_not_missed_and_an_empty_session_ends() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--cleanup-every", "1s"]).await;
    select(&node, "s", "ann", "daily").await;
    state(&node, "s", "ann", "CONNECTED", "daily").await;
    let mut stream = node.subscribe(&service(), CHANGED, json!({ "id": "s" })).await;
    stream.ready().await;
    state(&node, "s", "ann", "ENDED", "none").await;
    assert_eq!(stream.event().await["changedUsers"][0]["connectionState"], "ENDED");
    node.data(&service(), PING, ping("s", "ann")).await;
    app.advance(3_700).await;
    let ended = stream.event().await;
    assert_eq!((&ended["operation"], &ended["record"]["epoch"]), (&json!("DELETE"), &json!(1)));
    assert!(ended["record"]["endedAt"].is_string());
    assert_eq!(count_events(&app, "s", "SessionUsersDisconnected").await, 0);
    assert_eq!(node.code(&service(), PING, ping("s", "ann")).await, "CONFLICT");
    let health = json!({ "input": { "sessionId": "s", "userId": "ann", "status": "CONNECTED" } });
    assert_eq!(node.code(&service(), HEALTH, health).await, "CONFLICT");
    // A choice on an ended session is a new one, with the next epoch.
    let again = node.data(&service(), SELECT, choice("s", "bob", "p2p")).await;
    assert_eq!(
        (&again["isNewSelection"], &again["epoch"], &again["provider"]),
        (&json!(true), &json!(2), &json!("p2p"))
    );
    assert_eq!(stream.event().await["operation"], "INSERT");
    node.stop().await;
}

#[tokio::test]
async fn a_state_reopens_an_ended_session_without_a_provider() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--cleanup-every", "1s"]).await;
    select(&node, "s", "ann", "daily").await;
    let mut stream = node.subscribe(&service(), CHANGED, json!({ "id": "s" })).await;
    stream.ready().await;
    app.advance(3_700).await;
    assert_eq!(stream.event().await["operation"], "DELETE");
    let reopened = state(&node, "s", "ann", "CONNECTING", "none").await;
    assert_eq!((&reopened["session"]["activeProvider"], &reopened["session"]["epoch"]), (&json!("none"), &json!(1)));
    assert_eq!(select(&node, "s", "ann", "daily").await["epoch"], 2);
    node.stop().await;
}

#[tokio::test]
async fn a_reconnection_that_nobody_finishes_is_given_up() {
    let app = TestApp::new().await;
    let node = app.node().await;
    select(&node, "s", "ann", "daily").await;
    state(&node, "s", "ann", "CONNECTED", "daily").await;
    recover(&node, "s", "ann", "daily", Some(1), "FAILURE").await;
    let mut stream = node.subscribe(&participant("s", "ann"), CHANGED, json!({ "id": "s" })).await;
    assert_eq!(stream.ready().await[0]["reconnectionInProgress"], true);
    node.data(&service(), PING, ping("s", "ann")).await;
    app.advance(29).await;
    node.data(&service(), PING, ping("s", "ann")).await;
    app.advance(32).await;
    assert_eq!(stream.event().await["record"]["reconnectionInProgress"], false);
    node.stop().await;
}
