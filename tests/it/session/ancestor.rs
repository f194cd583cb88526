//! What the ancestor of this concept did wrong, one test each. Its own code decided in every client, over plain tables.

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::PgPool;
use switchboard::{demo, platform::unit::UnitOfWork};

use super::{RECOVER, SELECT, choice, participant, recover, sample, select, state, turns};
use crate::support::{
    app::{Node, TestApp, service},
    cluster::OwnCluster,
};

const SESSION: &str = "{ sessionCoordination(sessionId: \"s\") { epoch activeProvider selectedBy roomId } }";

#[tokio::test]
async fn the_last_to_choose_does_not_overwrite_the_choice() {
    let app = TestApp::new().await;
    let node = app.node().await;
    select(&node, "s", "ann", "daily").await;
    let last = select(&node, "s", "bob", "p2p").await;
    assert_eq!((&last["provider"], &last["selectedBy"]), (&json!("daily"), &json!("ann")));
    let session = node.data(&service(), SESSION, json!({})).await;
    assert_eq!(session, json!({ "epoch": 1, "activeProvider": "daily", "selectedBy": "ann", "roomId": "room of ann" }));
    node.stop().await;
}

#[tokio::test]
async fn two_reporters_do_not_switch_back_to_the_failed_provider() {
    let app = TestApp::new().await;
    let node = app.node().await;
    select(&node, "s", "ann", "daily").await;
    for user in ["ann", "bob"] {
        state(&node, "s", user, "CONNECTED", "daily").await;
    }
    // One after the other, and both at once: a toggle would be back at the failed one.
    let first = recover(&node, "s", "ann", "daily", None, "FAILURE").await;
    let second = recover(&node, "s", "bob", "daily", None, "FAILURE").await;
    assert_eq!((&first["outcome"], &second["outcome"]), (&json!("SWITCHED"), &json!("JOINED")));
    assert_eq!((&second["newProvider"], &second["epoch"]), (&json!("p2p"), &json!(2)));
    for user in ["ann", "bob"] {
        state(&node, "s", user, "CONNECTED", "p2p").await;
    }
    let both = ["ann", "bob"].map(|user| recover(&node, "s", user, "p2p", Some(2), "FAILURE"));
    let both = join_all(both).await;
    assert!(both.iter().all(|report| report["epoch"] == 3), "{both:?}");
    node.stop().await;
}

#[tokio::test]
async fn affected_users_are_those_who_were_connected() {
    let app = TestApp::new().await;
    let node = app.node().await;
    select(&node, "s", "ann", "daily").await;
    for (user, connection) in
        [("ann", "CONNECTED"), ("bob", "CONNECTED"), ("carl", "CONNECTING"), ("dora", "CONNECTED")]
    {
        state(&node, "s", user, connection, "daily").await;
    }
    // Before somebody reports a failure, its own state says so; who has left is not affected.
    state(&node, "s", "bob", "RECONNECTING", "daily").await;
    state(&node, "s", "dora", "ENDED", "none").await;
    let moved = recover(&node, "s", "bob", "daily", Some(1), "FAILURE").await;
    assert_eq!(moved["affectedUsers"], json!(["ann", "bob"]));
    let joined = recover(&node, "s", "ann", "daily", Some(1), "FAILURE").await;
    assert_eq!(joined["affectedUsers"], json!(["ann", "bob"]), "a report that joins is answered the same");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_decides_alone_while_the_database_is_away() {
    let mut cluster = OwnCluster::start().await;
    let work = UnitOfWork::detached(PgPool::connect_with(cluster.options()).await.unwrap());
    demo::seed(&work).await.unwrap();
    work.close().await;
    let node = Node::start(cluster.options(), &["--database-acquire-timeout", "100ms"]).await;
    select(&node, "s", "ann", "daily").await;
    cluster.crash().await;
    let ann = participant("s", "ann");
    let report = json!({ "input": { "sessionId": "s", "initiatedBy": "ann", "failedProvider": "daily", "epoch": 1 } });
    for (document, variables) in [(SELECT, choice("s", "ann", "p2p")), (RECOVER, report)] {
        let answer = node.run(&ann, document, variables).await;
        assert_eq!(answer.code(), "UNAVAILABLE", "{answer:?}");
        assert!(answer["data"].is_null(), "no fallback: {answer:?}");
    }
    cluster.start_again().await;
    loop {
        let answer = node.run(&ann, SELECT, choice("s", "ann", "p2p")).await;
        if answer.code().is_empty() {
            assert_eq!(answer["data"]["selectSessionProvider"]["provider"], "daily", "as before the outage");
            break;
        }
    }
    node.stop().await;
}

#[tokio::test]
async fn a_report_about_the_provider_before_is_not_believed() {
    let app = TestApp::new().await;
    let node = app.node().await;
    select(&node, "s", "ann", "daily").await;
    state(&node, "s", "ann", "CONNECTED", "daily").await;
    recover(&node, "s", "ann", "daily", Some(1), "FAILURE").await;
    state(&node, "s", "ann", "CONNECTED", "p2p").await;
    // Bob has not noticed the switch: neither his failure nor his state moves anybody.
    let late = recover(&node, "s", "bob", "daily", None, "FAILURE").await;
    assert_eq!((&late["outcome"], &late["newProvider"]), (&json!("JOINED"), &json!("p2p")));
    let bob = state(&node, "s", "bob", "CONNECTED", "daily").await;
    assert_eq!((&bob["user"]["joinedEpoch"], &bob["session"]["activeProvider"]), (&Value::Null, &json!("p2p")));
    assert_eq!(node.data(&service(), SESSION, json!({})).await["epoch"], 2);
    node.stop().await;
}

#[tokio::test]
async fn one_flap_is_no_switch() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--health-check-every", "500ms"]).await;
    select(&node, "s", "ann", "daily").await;
    state(&node, "s", "ann", "CONNECTED", "daily").await;
    app.advance(31).await;
    state(&node, "s", "ann", "CONNECTED", "daily").await;
    for latency in [60, 60, 4_000, 60, 60] {
        sample(&node, "s", "ann", json!({ "latency": latency })).await;
    }
    state(&node, "s", "ann", "RECONNECTING", "daily").await;
    state(&node, "s", "ann", "CONNECTED", "daily").await;
    turns(&app, "health", 2).await;
    assert_eq!(node.data(&service(), SESSION, json!({})).await["epoch"], 1);
    node.stop().await;
}
