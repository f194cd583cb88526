//! Calls without a row: they wait in the queue, or ended there. They are read from their items, everywhere.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{BEGIN, CANCEL, HANG_UP, REPORT, call, call_of, direct, end, initiate, item_of};
use crate::support::{
    app::{TestApp, service},
    client::Client,
    event_path::PATIENCE,
};

const SCHEDULE: &str = "mutation($id: UUID!, $after: Int) { scheduleHangUp(input: { callId: $id, afterMs: $after,
    reason: \"test\" }) { hangUpAt call { id status version } } }";
const APPEND: &str =
    "mutation($id: UUID!) { appendCallMessage(input: { callId: $id, role: \"agent\", text: \"hello\" }) {
    message { id } } }";
const FINALIZE: &str = "mutation($id: UUID!) { finalizeCall(input: { callId: $id }) { outcome } }";
const LIST: &str = "query($user: ID, $campaign: UUID, $status: [CallStatus!], $first: Int, $after: String) {
    calls(userId: $user, campaignId: $campaign, status: $status, first: $first, after: $after) {
    nodes { id status version endReason } pageInfo { hasNextPage endCursor } } }";
const STATES: &str = "subscription($user: ID, $status: CallStatus) { callStatus(userId: $user, status: $status) {
    operation record { id status version } } }";

/// Ids and states of all calls that match, newest first, in pages of two.
async fn listed(client: &Client, token: &str, mut variables: Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    variables["first"] = json!(2);
    loop {
        let page = client.data(token, LIST, variables.clone()).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let nodes = page["nodes"].as_array().unwrap();
        found.extend(nodes.iter().map(|call| (text(&call["id"]), text(&call["status"]))));
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            return found;
        }
        variables["after"] = page["pageInfo"]["endCursor"].clone();
    }
}

#[tokio::test]
async fn a_call_that_ended_in_the_queue_is_a_call_that_has_ended() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(initiate(&node, &token, direct("user")).await);
    }
    // Canceled, hung up, reported as ended: all the same.
    node.data(&token, CANCEL, json!({ "id": item_of(&answers[3]) })).await;
    node.data(&token, HANG_UP, json!({ "id": call_of(&answers[4]) })).await;
    end(&node, &token, &call_of(&answers[5])).await;
    for answer in &answers[3..] {
        let id = call_of(answer);
        for kind in ["DIAL", "HANG_UP", "SPEECH", "STREAM", "TRANSFER"] {
            let input = json!({ "input": { "callId": id, "kind": kind, "requestId": kind } });
            let begun = node.data(&token, BEGIN, input).await;
            assert_eq!((&begun["outcome"], &begun["operation"]), (&json!("CALL_ENDED"), &Value::Null), "{kind}");
        }
        for after in [json!(1_000), json!(0), Value::Null] {
            let scheduled = node.data(&token, SCHEDULE, json!({ "id": id, "after": after })).await;
            assert_eq!((&scheduled["hangUpAt"], &scheduled["call"]["status"]), (&Value::Null, &json!("ENDED")));
        }
        assert_eq!(node.code(&token, APPEND, json!({ "id": id })).await, "CONFLICT");
        assert_eq!(node.code(&token, FINALIZE, json!({ "id": id })).await, "CONFLICT");
        for status in ["RESERVED", "RINGING", "ENDED"] {
            let told = node.data(&token, REPORT, json!({ "input": { "callId": id, "status": status } })).await;
            assert_eq!(
                (&told["outcome"], &told["call"]["endReason"]),
                (&json!("STALE"), &json!("CANCELED")),
                "{status}"
            );
        }
        let named = json!({ "callId": id, "status": "ENDED", "assignCallControlId": format!("v3:{id}") });
        assert_eq!(node.code(&token, REPORT, json!({ "input": named })).await, "CONFLICT");
        assert_eq!(node.data(&token, HANG_UP, json!({ "id": id })).await["outcome"], "ALREADY_ENDED");
        assert_eq!(call(&node, &token, &id).await["version"], 2, "nothing of this changed it");
    }
    // One that waits is not that far.
    let waiting = call_of(&answers[2]);
    for kind in ["DIAL", "HANG_UP", "SPEECH"] {
        let begin = json!({ "input": { "callId": waiting, "kind": kind, "requestId": kind } });
        assert_eq!(node.code(&token, BEGIN, begin).await, "CONFLICT", "{kind}");
    }
    assert_eq!(node.code(&token, SCHEDULE, json!({ "id": waiting, "after": 5 })).await, "CONFLICT");
    assert_eq!(node.code(&token, APPEND, json!({ "id": waiting })).await, "CONFLICT");
    assert_eq!(node.code(&token, FINALIZE, json!({ "id": waiting })).await, "CONFLICT");
    assert_eq!(node.code(&token, APPEND, json!({ "id": item_of(&answers[2]) })).await, "NOT_FOUND");
}

#[tokio::test]
async fn lists_of_calls_have_those_that_wait_and_those_that_ended_waiting() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let mut ids = Vec::new();
    let mut answers = Vec::new();
    for _ in 0..7 {
        answers.push(initiate(&node, &token, direct("user")).await);
        ids.push(call_of(answers.last().unwrap()));
    }
    let other = call_of(&initiate(&node, &token, direct("other")).await);
    node.data(&token, CANCEL, json!({ "id": item_of(&answers[3]) })).await;
    end(&node, &token, &ids[0]).await;
    // Dispatched, then hung up: this one has a row, and is listed once.
    node.data(&token, HANG_UP, json!({ "id": ids[2] })).await;
    let states = ["ENDED", "RESERVED", "ENDED", "ENDED", "RESERVED", "QUEUED", "QUEUED"];
    let all: Vec<(String, String)> = ids.iter().cloned().zip(states.map(str::to_owned)).rev().collect();
    assert_eq!(listed(&node, &token, json!({ "user": "user" })).await, all, "newest first");
    for status in ["QUEUED", "RESERVED", "ENDED"] {
        let expected: Vec<(String, String)> = all.iter().filter(|(_, state)| state == status).cloned().collect();
        let found = listed(&node, &token, json!({ "user": "user", "status": [status] })).await;
        assert_eq!(found, expected, "{status}");
    }
    let everybodys = listed(&node, &token, json!({})).await;
    assert_eq!((everybodys.len(), &everybodys[0].0), (8, &other));
    let some = listed(&node, &token, json!({ "status": ["QUEUED", "RINGING"] })).await;
    assert_eq!(some.len(), 2);

    let create = "mutation { createCampaign(input: { campaign: { userId: \"user\", agentId: \"a\", name: \"n\" } }) {
        campaign { id } } }";
    let campaign = node.data(&token, create, json!({})).await["campaign"]["id"].clone();
    let enqueue = "mutation($input: EnqueueCampaignCallsInput!) { enqueueCampaignCalls(input: $input) { enqueued } }";
    let contacts: Vec<Value> =
        (0..3).map(|n| json!({ "contactId": n.to_string(), "phoneNumber": "+14155552671" })).collect();
    node.data(&token, enqueue, json!({ "input": { "campaignId": campaign, "contacts": contacts } })).await;
    for (user, expected) in [(Value::Null, 3), (json!("user"), 3), (json!("other"), 0)] {
        let found = listed(&node, &token, json!({ "campaign": campaign, "user": user })).await;
        assert_eq!(found.len(), expected, "{found:?}");
        assert!(found.iter().all(|(_, state)| state == "QUEUED"));
    }
    // Canceled whole: at once, whatever the rows say.
    let cancel = "mutation($input: CancelQueuedCallsInput!) { cancelQueuedCalls(input: $input) { canceled } }";
    node.data(&token, cancel, json!({ "input": { "userId": "user", "campaignId": campaign, "expected": 3 } })).await;
    let found = listed(&node, &token, json!({ "campaign": campaign })).await;
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|(_, state)| state == "ENDED"), "{found:?}");
    assert_eq!(listed(&node, &token, json!({ "campaign": campaign, "status": ["QUEUED"] })).await.len(), 0);
    // A list of ended calls alone reads no line of calls that wait. It has each of them from its event on.
    let mut sql = app.sql().await;
    let written = async {
        let unwritten = "select count(*) from call_queue where status = 'QUEUED' and campaign_id is not null";
        while sqlx::query_scalar::<_, i64>(unwritten).fetch_one(&mut sql).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, written).await.expect("a timer writes the rows");
    let ended = listed(&node, &token, json!({ "campaign": campaign, "status": ["ENDED"] })).await;
    assert_eq!(ended.len(), 3);
    assert_eq!(ended, listed(&node, &token, json!({ "campaign": campaign })).await);
}

#[tokio::test]
async fn streams_of_calls_begin_with_those_that_wait() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(initiate(&node, &token, direct("user")).await);
    }
    initiate(&node, &token, direct("other")).await;
    node.data(&token, CANCEL, json!({ "id": item_of(&answers[3]) })).await;
    let ids = |records: &[Value]| -> BTreeSet<String> {
        records.iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    };
    let of = |places: &[usize]| -> BTreeSet<String> { places.iter().map(|place| call_of(&answers[*place])).collect() };
    let mut all = node.subscribe(&token, STATES, json!({})).await;
    assert_eq!(all.ready().await.len(), 5);
    let mut of_user = node.subscribe(&token, STATES, json!({ "user": "user" })).await;
    assert_eq!(ids(&of_user.ready().await), of(&[0, 1, 2, 4]));
    let mut reserved = node.subscribe(&token, STATES, json!({ "user": "user", "status": "RESERVED" })).await;
    assert_eq!(ids(&reserved.ready().await), of(&[0, 1]));
    let mut queued = node.subscribe(&token, STATES, json!({ "user": "user", "status": "QUEUED" })).await;
    assert_eq!(ids(&queued.ready().await), of(&[2, 4]));
    end(&node, &token, &call_of(&answers[0])).await;
    let left = queued.event().await;
    assert_eq!((&left["operation"], &left["record"]["status"]), (&json!("DELETE"), &json!("RESERVED")));
    assert_eq!(left["record"]["id"], json!(call_of(&answers[2])));
    let entered = reserved.until(|event| event["operation"] == "INSERT").await;
    assert_eq!(entered.last().unwrap()["record"]["id"], json!(call_of(&answers[2])));
}
