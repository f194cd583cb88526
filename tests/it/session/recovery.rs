//! Recovery: one failure, however many report it, is one switch.

use futures_util::future::join_all;
use serde_json::json;

use super::{CHANGED, RECOVER, count_events, participant, recover, select, state};
use crate::support::app::{TestApp, service};

#[tokio::test]
async fn all_participants_report_one_failure_and_move_once() {
    let app = TestApp::new().await;
    let nodes = [app.node().await, app.node().await];
    select(&nodes[0], "s", "u0", "daily").await;
    let users: Vec<String> = (0..40).map(|n| format!("u{n}")).collect();
    for user in &users {
        state(&nodes[0], "s", user, "CONNECTED", "daily").await;
    }
    let mut stream = nodes[1].subscribe(&participant("s", "u0"), CHANGED, json!({ "id": "s" })).await;
    stream.ready().await;
    let reports = users.iter().enumerate().map(|(n, user)| {
        let epoch = (n % 2 == 0).then_some(1);
        recover(&nodes[n % 2], "s", user, "daily", epoch, "FAILURE")
    });
    let reports = join_all(reports).await;
    let switched: Vec<_> = reports.iter().filter(|report| report["outcome"] == "SWITCHED").collect();
    assert_eq!(switched.len(), 1);
    assert_eq!(reports.iter().filter(|report| report["outcome"] == "JOINED").count(), users.len() - 1);
    for report in &reports {
        assert_eq!((&report["newProvider"], &report["epoch"]), (&json!("p2p"), &json!(2)));
        assert_eq!(report["affectedUsers"].as_array().unwrap().len(), users.len(), "those who were connected");
    }
    let event = stream.event().await;
    assert_eq!(event["record"]["activeProvider"], "p2p");
    assert_eq!(event["record"]["reconnectionInProgress"], true);
    for user in &users {
        state(&nodes[1], "s", user, "CONNECTED", "p2p").await;
    }
    // Until the last has joined. Their states come together.
    let mut joined: Vec<String> = Vec::new();
    for event in stream.until(|event| event["record"]["reconnectionInProgress"] == false).await {
        joined.extend(event["changedUsers"].as_array().unwrap().iter().map(|user| user["userId"].to_string()));
    }
    joined.sort();
    joined.dedup();
    assert_eq!(joined.len(), users.len());
    assert_eq!(count_events(&app, "s", "SessionProviderSwitched").await, 1);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_late_report_after_a_return_to_the_provider_changes_nothing() {
    let app = TestApp::new().await;
    let node = app.node().await;
    select(&node, "s", "ann", "daily").await;
    assert_eq!(recover(&node, "s", "ann", "daily", Some(1), "FAILURE").await["outcome"], "SWITCHED");
    assert_eq!(recover(&node, "s", "ann", "p2p", Some(2), "FAILURE").await["outcome"], "SWITCHED");
    // daily, p2p, daily: the report of the first failure comes again.
    let late = recover(&node, "s", "bob", "daily", Some(1), "FAILURE").await;
    assert_eq!((&late["outcome"], &late["newProvider"], &late["epoch"]), (&json!("STALE"), &json!("daily"), &json!(3)));
    let late = recover(&node, "s", "bob", "daily", None, "FAILURE").await;
    assert_eq!(late["outcome"], "STALE", "who has not joined may be late for ten seconds");
    state(&node, "s", "bob", "CONNECTED", "daily").await;
    assert_eq!(recover(&node, "s", "bob", "daily", None, "FAILURE").await["outcome"], "SWITCHED");
    node.stop().await;
}

#[tokio::test]
async fn a_report_without_an_epoch_counts_once_the_epoch_has_settled() {
    let app = TestApp::new().await;
    let node = app.node().await;
    select(&node, "s", "ann", "daily").await;
    assert_eq!(recover(&node, "s", "bob", "daily", None, "FAILURE").await["outcome"], "STALE");
    app.advance(11).await;
    assert_eq!(recover(&node, "s", "bob", "daily", None, "FAILURE").await["outcome"], "SWITCHED");
    node.stop().await;
}

#[tokio::test]
async fn quality_waits_for_the_dwell_and_failure_does_not() {
    let app = TestApp::new().await;
    let node = app.node().await;
    select(&node, "s", "ann", "daily").await;
    assert_eq!(recover(&node, "s", "ann", "daily", Some(1), "QUALITY").await["outcome"], "DWELL");
    assert_eq!(recover(&node, "s", "ann", "daily", Some(1), "FAILURE").await["outcome"], "SWITCHED");
    app.advance(31).await;
    let kept = recover(&node, "s", "ann", "p2p", Some(2), "QUALITY").await;
    assert_eq!(kept["outcome"], "NO_PROVIDER", "daily cools down for a minute");
    assert_eq!(kept["newProvider"], "p2p");
    app.advance(61).await;
    assert_eq!(recover(&node, "s", "ann", "p2p", Some(2), "QUALITY").await["outcome"], "SWITCHED");
    node.stop().await;
}

#[tokio::test]
async fn a_failure_without_another_provider_keeps_the_epoch() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--session-providers", "daily"]).await;
    select(&node, "s", "ann", "daily").await;
    let kept = recover(&node, "s", "ann", "daily", Some(1), "FAILURE").await;
    assert_eq!((&kept["outcome"], &kept["epoch"]), (&json!("NO_PROVIDER"), &json!(1)));
    node.stop().await;
}

#[tokio::test]
async fn bad_reports_are_refused() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let report = |session: &str, provider: &str, epoch: i32| json!({ "input": { "sessionId": session, "initiatedBy": "ann", "failedProvider": provider, "epoch": epoch } });
    assert_eq!(node.code(&service(), RECOVER, report("s", "daily", 0)).await, "NOT_FOUND");
    state(&node, "s", "ann", "INITIALIZING", "none").await;
    assert_eq!(node.code(&service(), RECOVER, report("s", "daily", 0)).await, "CONFLICT", "nothing was chosen");
    select(&node, "s", "ann", "daily").await;
    assert_eq!(node.code(&service(), RECOVER, report("s", "daily", 2)).await, "BAD_USER_INPUT", "a future epoch");
    assert_eq!(node.code(&service(), RECOVER, report("s", "zoom", 1)).await, "BAD_USER_INPUT");
    assert_eq!(node.code(&service(), RECOVER, report("", "daily", 1)).await, "BAD_USER_INPUT");
    node.stop().await;
}
