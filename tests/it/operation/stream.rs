//! `coordinationEvents` and the audit trail.

use serde_json::{Value, json};

use super::{EVENTS, complete, coordinate, grant, input, server, until_waiting, watch};
use crate::support::{app::TestApp, chat};

#[tokio::test]
async fn a_stream_begins_with_the_calls_that_wait_and_resumes_after_any_message() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let backend = server("backend");
    let mut early = watch(&node, &backend, "chat-1").await;
    let ready = early.event().await;
    assert_eq!(
        (&ready["operation"], &ready["event"], &ready["version"], &ready["chatId"]),
        (&json!("READY"), &Value::Null, &Value::Null, &json!("chat-1"))
    );

    let held = grant(&node, &backend, input("START_CHAT", "start", "chat-1")).await;
    let waiting = grant(&node, &backend, input("END_CHAT", "end", "chat-1"));
    let others = async {
        until_waiting(&mut early, 1).await;
        let mut late = watch(&node, &backend, "chat-1").await;
        let present = late.until(|event| event["operation"] == "READY").await;
        let [snapshot, _] = &present[..] else { panic!("{present:?}") };
        assert_eq!(snapshot["operation"], "SNAPSHOT");
        assert_eq!(snapshot["event"], "EndChatCoordinationHold_Start");
        assert_eq!(snapshot["holdReason"], "Waiting for StartChat to complete");
        assert_eq!(snapshot["oppositeCallType"], "StartChat");
        assert_eq!((&snapshot["version"], &snapshot["elapsedTimeInMilliseconds"]), (&json!(1), &Value::Null));
        assert!(complete(&node, &backend, &held).await);
        let told = late.event().await;
        assert_eq!(
            (&told["operation"], &told["event"], &told["version"]),
            (&json!("INSERT"), &json!("EndChatCoordinationHold_Complete"), &json!(2))
        );
    };
    let (granted, ()) = tokio::join!(waiting, others);
    assert!(complete(&node, &backend, &granted).await);

    let resumed = json!({ "chat": "chat-1", "after": ready["cursor"] });
    let mut resumed = node.subscribe(&backend, EVENTS, resumed).await;
    let missed = resumed.until(|event| event["operation"] == "READY").await;
    let events: Vec<&Value> = missed.iter().map(|event| &event["event"]).collect();
    assert_eq!(
        events,
        [&json!("EndChatCoordinationHold_Start"), &json!("EndChatCoordinationHold_Complete"), &Value::Null]
    );

    let trail = node.data(&backend, chat::EVENTS, json!({ "id": "chat-1", "kind": "operation" })).await;
    let trail = trail["nodes"].as_array().unwrap();
    let types: Vec<&Value> = trail.iter().map(|event| &event["type"]).collect();
    assert_eq!(types, ["EndChatCoordinationHold_Start", "EndChatCoordinationHold_Complete"], "each hold exactly once");
    assert!(trail.iter().all(|event| event["actor"] == "backend"), "{trail:?}");
    assert!(
        !trail[1]["payload"].to_string().contains(granted["fencingToken"].as_str().unwrap().trim_start_matches('0'))
    );
}

#[tokio::test]
async fn a_grant_without_a_wait_has_no_event() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let backend = server("backend");
    let held = grant(&node, &backend, input("START_CHAT", "start", "chat-1")).await;
    assert_eq!(
        coordinate(&node, &backend, input("START_CHAT", "other", "chat-1")).await.code(),
        "OPERATION_IN_PROGRESS"
    );
    assert!(complete(&node, &backend, &held).await);
    let trail = node.data(&backend, chat::EVENTS, json!({ "id": "chat-1" })).await;
    assert_eq!(trail["nodes"], json!([]));
}
