//! States: what a participant says of itself.

use serde_json::{Value, json};

use super::{CHANGED, HEALTH, PING, STATE, participant, ping, recover, select, state};
use crate::support::app::{TestApp, service};

#[tokio::test]
async fn a_participant_joins_only_by_naming_the_active_provider() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let first = state(&node, "s", "ann", "INITIALIZING", "none").await;
    assert_eq!((&first["session"]["epoch"], &first["user"]["joinedEpoch"]), (&json!(0), &Value::Null));
    select(&node, "s", "ann", "daily").await;
    let other = state(&node, "s", "ann", "CONNECTED", "p2p").await;
    assert_eq!((&other["user"]["currentProvider"], &other["user"]["joinedEpoch"]), (&json!("none"), &Value::Null));
    let joined = state(&node, "s", "ann", "CONNECTED", "daily").await;
    assert_eq!((&joined["user"]["currentProvider"], &joined["user"]["joinedEpoch"]), (&json!("daily"), &json!(1)));
    recover(&node, "s", "ann", "daily", Some(1), "FAILURE").await;
    let mut late = json!({ "sessionId": "s", "userId": "ann", "connectionState": "FAILED", "currentProvider": "daily", "epoch": 1 });
    let after = node.data(&service(), STATE, json!({ "input": late })).await;
    assert_eq!(after["user"]["connectionState"], "CONNECTED", "of an older epoch only the time counts");
    late["epoch"] = json!(3);
    assert_eq!(node.code(&service(), STATE, json!({ "input": late })).await, "BAD_USER_INPUT");
    node.stop().await;
}

#[tokio::test]
async fn flags_and_device_info_are_kept_and_bounded() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let report = |extra: Value| {
        let mut input =
            json!({ "sessionId": "s", "userId": "ann", "connectionState": "CONNECTED", "currentProvider": "none" });
        input.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({ "input": input })
    };
    let ann = participant("s", "ann");
    let muted = node.data(&ann, STATE, report(json!({ "deviceInfo": { "is_audio_muted": true, "os": "x" } }))).await;
    assert_eq!((&muted["user"]["isAudioMuted"], &muted["user"]["isVideoOff"]), (&json!(true), &json!(false)));
    let off = node.data(&ann, STATE, report(json!({ "isVideoOff": true }))).await;
    assert_eq!((&off["user"]["isAudioMuted"], &off["user"]["isVideoOff"]), (&json!(true), &json!(true)));
    assert_eq!(off["user"]["deviceInfo"]["os"], "x");
    let large = "x".repeat(8_200);
    for bad in
        [json!({ "deviceInfo": { "a": large } }), json!({ "deviceInfo": [] }), json!({ "currentProvider": "zoom" })]
    {
        assert_eq!(node.code(&ann, STATE, report(bad)).await, "BAD_USER_INPUT");
    }
    state(&node, "s", "bob", "CONNECTED", "none").await;
    let users = "{ sessionCoordination(sessionId: \"s\") { users { userId deviceInfo } userCount } }";
    let seen = node.data(&participant("s", "bob"), users, json!({})).await;
    assert_eq!(seen["userCount"], 2);
    assert_eq!(seen["users"][0]["deviceInfo"], Value::Null, "of others no device info");
    assert_eq!(node.data(&service(), users, json!({})).await["users"][0]["deviceInfo"]["os"], "x");
    node.stop().await;
}

#[tokio::test]
async fn a_repeated_state_is_no_event_and_heartbeats_never_are() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let version = state(&node, "s", "ann", "CONNECTED", "none").await["session"]["version"].clone();
    let ann = participant("s", "ann");
    for _ in 0..3 {
        assert_eq!(state(&node, "s", "ann", "CONNECTED", "none").await["session"]["version"], version);
        node.data(&ann, PING, ping("s", "ann")).await;
    }
    assert_eq!(node.code(&service(), PING, ping("s", "nobody")).await, "NOT_FOUND");
    assert_eq!(node.code(&service(), PING, ping("nowhere", "ann")).await, "NOT_FOUND");
    let health = json!({ "input": { "sessionId": "s", "userId": "new", "status": "CONNECTED" } });
    assert_eq!(node.data(&service(), HEALTH, health).await["connectionStatus"], "CONNECTED", "health creates the user");
    let elsewhere = json!({ "input": { "sessionId": "nowhere", "userId": "new", "status": "CONNECTED" } });
    assert_eq!(node.code(&service(), HEALTH, elsewhere).await, "NOT_FOUND");
    node.stop().await;
}

#[tokio::test]
async fn every_change_reaches_a_participant_on_another_server_and_across_a_resume() {
    let app = TestApp::new().await;
    let nodes = [app.node().await, app.node().await];
    select(&nodes[0], "s", "ann", "daily").await;
    let ann = participant("s", "ann");
    let mut stream = nodes[1].subscribe(&ann, CHANGED, json!({ "id": "s" })).await;
    let present = stream.ready().await;
    assert_eq!(present[0]["epoch"], 1);
    state(&nodes[0], "s", "bob", "CONNECTED", "daily").await;
    let joined = stream.event().await;
    assert_eq!(joined["changedUsers"][0]["userId"], "bob");
    drop(stream);
    recover(&nodes[0], "s", "bob", "daily", Some(1), "FAILURE").await;
    state(&nodes[0], "s", "bob", "ENDED", "none").await;
    let after = json!({ "id": "s", "after": joined["cursor"] });
    let mut stream = nodes[1].subscribe(&ann, CHANGED, after).await;
    let missed = stream.events(3).await;
    assert_eq!(missed[0]["record"]["epoch"], 2);
    assert_eq!(missed[1]["changedUsers"][0]["connectionState"], "ENDED");
    assert_eq!(missed[2]["operation"], "READY");
    assert!(missed.iter().all(|event| event["resync"] == false));
    for node in nodes {
        node.stop().await;
    }
}
