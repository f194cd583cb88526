//! Streams of a session: what comes together, what never does, and what it costs that many watch.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{CHANGED, STATE, participant, recover, select, state};
use crate::support::{
    app::{TestApp, service},
    client::Client,
    process::Process,
};

#[tokio::test]
async fn a_crowd_that_joins_is_told_in_at_most_four_messages_a_second() {
    const CROWD: usize = 150;
    let app = TestApp::new().await;
    let node = app.node().await;
    select(&node, "s", "u0", "daily").await;
    let mut stream = node.subscribe(&participant("s", "u0"), CHANGED, json!({ "id": "s" })).await;
    stream.ready().await;
    let began = Instant::now();
    let users: Vec<String> = (0..CROWD).map(|n| format!("u{n}")).collect();
    join_all(users.iter().map(|user| state(&node, "s", user, "CONNECTED", "daily"))).await;
    // An epoch does not wait.
    recover(&node, "s", "u1", "daily", Some(1), "FAILURE").await;
    let events = stream.until(|event| event["record"]["epoch"] == 2).await;
    let bound = 2 + 4 * (1 + usize::try_from(began.elapsed().as_secs()).unwrap());
    assert!(events.len() <= bound, "{} messages in {:?}", events.len(), began.elapsed());
    let told: BTreeSet<&str> = events
        .iter()
        .flat_map(|event| event["changedUsers"].as_array().unwrap())
        .map(|user| user["userId"].as_str().unwrap())
        .collect();
    assert_eq!(told.len(), CROWD, "everybody is in some message");
    node.stop().await;
}

#[tokio::test]
async fn a_single_change_and_every_epoch_come_at_once() {
    let app = TestApp::new().await;
    let node = app.node().await;
    select(&node, "s", "ann", "daily").await;
    state(&node, "s", "ann", "CONNECTED", "daily").await;
    let mut stream = node.subscribe(&participant("s", "ann"), CHANGED, json!({ "id": "s" })).await;
    stream.ready().await;
    let mut provider = "daily";
    for epoch in 1..=4 {
        let answer = recover(&node, "s", "ann", provider, Some(epoch), "FAILURE").await;
        assert_eq!(answer["outcome"], "SWITCHED");
        provider = if provider == "daily" { "p2p" } else { "daily" };
        state(&node, "s", "ann", "CONNECTED", provider).await;
    }
    let epochs: Vec<i64> = stream
        .until(|event| event["record"]["epoch"] == 5)
        .await
        .iter()
        .map(|event| event["record"]["epoch"].as_i64().unwrap())
        .collect();
    let mut each = epochs.clone();
    each.dedup();
    assert_eq!(each, [2, 3, 4, 5], "{epochs:?}");
    node.stop().await;
}

/// A count of the server.
async fn count(client: &Client, name: &str) -> f64 {
    let metrics = client.text("/metrics").await;
    metrics.lines().filter_map(|line| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn participants_are_read_once_for_all_who_watch_them() {
    const WATCHERS: usize = 30;
    const USERS: &str = "subscription($id: ID!) { sessionChanged(sessionId: $id) { operation
        record { epoch users { userId connectionState } } changedUsers { userId } } }";
    let app = TestApp::new().await;
    let server = Process::serve(&app.database.url(), &["--dev", "false"]).await;
    let client = &server.client;
    select(client, "s", "u0", "daily").await;
    let users: Vec<String> = (0..WATCHERS).map(|n| format!("u{n}")).collect();
    for user in &users {
        state(client, "s", user, "CONNECTED", "daily").await;
    }
    let mut streams = Vec::new();
    for user in &users {
        let mut stream = client.subscribe(&participant("s", user), USERS, json!({ "id": "s" })).await;
        stream.ready().await;
        streams.push(stream);
    }
    let before = count(client, "switchboard_stream_executions_total ").await;
    recover(client, "s", "u0", "daily", Some(1), "FAILURE").await;
    for stream in &mut streams {
        let event = stream.event().await;
        assert_eq!(event["record"]["users"].as_array().unwrap().len(), WATCHERS);
    }
    let executed = count(client, "switchboard_stream_executions_total ").await - before;
    // Two workers may execute the same at the same moment.
    assert!((1.0..=3.0).contains(&executed), "{executed} executions for {WATCHERS} watchers");
}

#[tokio::test]
async fn devices_are_shown_to_their_owners_only_also_in_streams() {
    const DEVICES: &str = "subscription($id: ID!) { sessionChanged(sessionId: $id) { operation
        record { users { userId deviceInfo } } changedUsers { userId deviceInfo } } }";
    let app = TestApp::new().await;
    let node = app.node().await;
    let mut streams = Vec::new();
    for user in ["ann", "bob"] {
        let mut stream = node.subscribe(&participant("s", user), DEVICES, json!({ "id": "s" })).await;
        stream.ready().await;
        streams.push(stream);
    }
    let input = json!({ "sessionId": "s", "userId": "ann", "connectionState": "CONNECTED", "currentProvider": "none",
        "deviceInfo": { "os": "x" } });
    node.data(&participant("s", "ann"), STATE, json!({ "input": input })).await;
    let [ann, bob] = [streams[0].event().await, streams[1].event().await];
    for (event, expected) in [(&ann, json!({ "os": "x" })), (&bob, Value::Null)] {
        assert_eq!(event["changedUsers"][0]["deviceInfo"], expected);
        assert_eq!(event["record"]["users"][0]["deviceInfo"], expected);
    }
    let mut company = node.subscribe(&service(), DEVICES, json!({ "id": "s" })).await;
    assert_eq!(company.ready().await[0]["users"][0]["deviceInfo"]["os"], "x");
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_comes_back_again_and_again_leaves_no_trace_but_its_state() {
    let app = TestApp::new().await;
    let node = app.node().await;
    select(&node, "s", "ann", "daily").await;
    state(&node, "s", "ann", "CONNECTED", "daily").await;
    let mut cursor = Value::Null;
    for round in 0..20 {
        let connection = if round % 2 == 0 { "RECONNECTING" } else { "CONNECTED" };
        let answer = state(&node, "s", "ann", connection, "daily").await;
        assert_eq!((&answer["session"]["epoch"], &answer["user"]["joinedEpoch"]), (&json!(1), &json!(1)));
        assert_eq!(answer["user"]["reconnectAttempts"], 0, "it was never silent");
        let mut stream = node.subscribe(&participant("s", "ann"), CHANGED, json!({ "id": "s", "after": cursor })).await;
        let events = stream.until(|event| event["operation"] == "READY").await;
        assert!(events.iter().all(|event| event["resync"] == false));
        cursor = events.last().unwrap()["cursor"].clone();
        assert_eq!(select(&node, "s", "ann", "p2p").await["provider"], "daily");
    }
    let again = recover(&node, "s", "ann", "daily", Some(1), "FAILURE").await;
    assert_eq!((&again["outcome"], &again["affectedUsers"]), (&json!("SWITCHED"), &json!(["ann"])));
    tokio::time::timeout(Duration::from_secs(5), node.stop()).await.unwrap();
}
