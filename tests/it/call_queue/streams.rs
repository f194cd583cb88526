//! Live places, the head of the line, operators' lists, whole lines canceled.

use serde_json::{Value, json};

use super::{call_of, direct, end, initiate, item, item_of};
use crate::support::app::{TestApp, service};

const ONE: &str = "subscription($id: UUID!) { callQueueItem(id: $id) { operation resync cursor record {
    id status position version } } }";
const HEAD: &str = "subscription($user: ID!) { callQueue(userId: $user, first: 2) { operation
    status { directCalls { queued processing } } items { id position } } }";
const ITEMS: &str =
    "query($user: ID!, $after: String) { callQueueItems(userId: $user, callType: DIRECT, first: 2, after: $after) {
    nodes { id status } pageInfo { hasNextPage endCursor } } }";
const CANCEL_ALL: &str =
    "mutation($input: CancelQueuedCallsInput!) { cancelQueuedCalls(input: $input) { canceled alreadyDispatched } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_sees_its_place_until_its_end_and_operators_the_head_of_the_line() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(initiate(&one, &token, direct("user")).await);
    }
    let mut waiter = two.subscribe(&token, ONE, json!({ "id": item_of(&answers[3]) })).await;
    let first = waiter.event().await;
    assert_eq!((&first["operation"], &first["record"]["position"]), (&json!("SNAPSHOT"), &json!(2)));
    assert_eq!(waiter.event().await["operation"], "READY");
    let mut head = two.subscribe(&token, HEAD, json!({ "user": "user" })).await;
    for operation in ["SNAPSHOT", "READY"] {
        let event = head.event().await;
        assert_eq!((&event["operation"], &event["status"]["directCalls"]["queued"]), (&json!(operation), &json!(3)));
        let ids: Vec<&Value> = event["items"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
        assert_eq!(ids, [&json!(item_of(&answers[2])), &json!(item_of(&answers[3]))]);
    }
    end(&one, &token, &call_of(&answers[0])).await;
    let moved = waiter.until(|event| event["record"]["position"] == 1).await;
    assert!(moved.iter().all(|event| event["operation"] == "UPDATE"));
    let update = head.until(|event| event["status"]["directCalls"]["queued"] == 2).await;
    assert_eq!(update.last().unwrap()["items"][0]["id"], json!(item_of(&answers[3])));
    end(&one, &token, &call_of(&answers[1])).await;
    waiter.until(|event| event["record"]["status"] == "PROCESSING").await;
    end(&one, &token, &call_of(&answers[3])).await;
    let last = waiter.until(|event| event["record"]["status"] == "COMPLETED").await;
    assert_eq!(last.last().unwrap()["record"]["position"], Value::Null);
}

#[tokio::test]
async fn open_items_are_listed_and_whole_lines_canceled_as_expected() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(initiate(&node, &token, direct("user")).await);
    }
    let mut seen = Vec::new();
    let mut after = Value::Null;
    loop {
        let page = node.data(&token, ITEMS, json!({ "user": "user", "after": after })).await;
        seen.extend(page["nodes"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    let mut expected: Vec<String> = answers[2..].iter().map(item_of).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    let cancel = |expected: i32| json!({ "input": { "userId": "user", "callType": "DIRECT", "expected": expected } });
    assert_eq!(node.code(&token, CANCEL_ALL, cancel(5)).await, "CONFLICT");
    end(&node, &token, &call_of(&answers[0])).await;
    let canceled = node.data(&token, CANCEL_ALL, cancel(3)).await;
    assert_eq!((&canceled["canceled"], &canceled["alreadyDispatched"]), (&json!(3), &json!(1)));
    for answer in &answers[3..] {
        let item = item(&node, &token, &item_of(answer)).await;
        assert_eq!((&item["status"], &item["position"]), (&json!("CANCELED"), &Value::Null), "at once");
        assert_eq!(item["call"]["endReason"], "CANCELED");
    }
    end(&node, &token, &call_of(&answers[1])).await;
    let next = initiate(&node, &token, direct("user")).await;
    assert_eq!(next["admission"], "STARTED", "nothing waits before it");
}
