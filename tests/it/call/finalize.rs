//! Closing a transcript: after what runs, exactly once.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{activity, register, report};
use crate::support::{
    app::{TestApp, service},
    chat::EVENTS,
    client::Client,
};

const FINALIZE: &str = "mutation($input: FinalizeCallInput!) { finalizeCall(input: $input) {
    outcome abandonedOperations call { id status finalizedAt messages { nodes { role text } } } } }";
const APPEND: &str =
    "mutation($input: AppendCallMessageInput!) { appendCallMessage(input: $input) { message { id role text } } }";
const BEGIN: &str =
    "mutation($input: BeginCallOperationInput!) { beginCallOperation(input: $input) { outcome operation {
    id fencingToken } } }";
const DONE: &str = "mutation($input: CompleteCallOperationInput!) { completeCallOperation(input: $input) {
    completed callActive } }";

async fn finalize(client: &Client, token: &str, name: &str, drain_ms: i32) -> Value {
    client.data(token, FINALIZE, json!({ "input": { "callControlId": name, "drainMs": drain_ms } })).await
}

fn line(name: &str, text: &str) -> Value {
    json!({ "input": { "callControlId": name, "role": "caller", "text": text } })
}

async fn begin(client: &Client, token: &str, name: &str, kind: &str, request: &str) -> Value {
    let input = json!({ "callControlId": name, "kind": kind, "requestId": request });
    client.data(token, BEGIN, json!({ "input": input })).await["operation"].take()
}

async fn done(client: &Client, token: &str, operation: &Value) -> bool {
    let input = json!({ "operationId": operation["id"], "fencingToken": operation["fencingToken"] });
    client.data(token, DONE, json!({ "input": input })).await["completed"].as_bool().unwrap()
}

/// Waits until the drain of the call has begun, by its event.
async fn until_draining(client: &Client, token: &str, id: Uuid) {
    let mut events = client
        .subscribe(
            token,
            "subscription($id: UUID) { callStatus(callId: $id) { operation record { version } } }",
            json!({ "id": id }),
        )
        .await;
    loop {
        let trail = client.data(token, EVENTS, json!({ "id": id, "kind": "call" })).await;
        if trail["nodes"].as_array().unwrap().iter().any(|event| event["type"] == "CallFinalizeRequested") {
            return;
        }
        events.event().await;
    }
}

#[tokio::test]
async fn two_finalizers_during_a_drain_wait_and_one_closes_the_transcript() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    let id = register(&one, &token, "v3:one").await;
    let speech = begin(&one, &token, "v3:one", "SPEECH", "speech").await;
    one.data(&token, APPEND, line("v3:one", "before")).await;
    report(&one, &token, "v3:one", "ENDED", json!({})).await;
    let finalizers = join_all([&one, &two].map(|node| finalize(node, &token, "v3:one", 20_000)));
    let work = async {
        until_draining(&two, &token, id).await;
        two.data(&token, APPEND, line("v3:one", "while draining")).await;
        assert!(done(&two, &token, &speech).await);
    };
    let (outcomes, ()) = tokio::join!(finalizers, work);
    let mut said: Vec<&str> = outcomes.iter().map(|outcome| outcome["outcome"].as_str().unwrap()).collect();
    said.sort_unstable();
    assert_eq!(said, ["ALREADY_FINALIZED", "FINALIZED"]);
    for outcome in &outcomes {
        assert_eq!(outcome["abandonedOperations"], 0);
        let texts: Vec<&Value> =
            outcome["call"]["messages"]["nodes"].as_array().unwrap().iter().map(|line| &line["text"]).collect();
        assert_eq!(texts, ["before", "while draining"]);
    }
    assert_eq!(one.code(&token, APPEND, line("v3:one", "after")).await, "CONFLICT");
    assert_eq!(activity(&one, &token, "v3:one").await, (false, json!("FINALIZED")));
}

#[tokio::test]
async fn what_does_not_complete_in_time_is_abandoned_and_fenced_off() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    register(&node, &token, "v3:one").await;
    let speech = begin(&node, &token, "v3:one", "SPEECH", "speech").await;
    let stream = begin(&node, &token, "v3:one", "STREAM", "stream").await;
    let early = node.code(&token, FINALIZE, json!({ "input": { "callControlId": "v3:one" } })).await;
    assert_eq!(early, "CONFLICT", "it has not ended");
    report(&node, &token, "v3:one", "ENDED", json!({})).await;
    let finalized = finalize(&node, &token, "v3:one", 50).await;
    assert_eq!((&finalized["outcome"], &finalized["abandonedOperations"]), (&json!("FINALIZED"), &json!(2)));
    assert!(!done(&node, &token, &speech).await && !done(&node, &token, &stream).await);
    let again = finalize(&node, &token, "v3:one", 0).await;
    assert_eq!((&again["outcome"], &again["abandonedOperations"]), (&json!("ALREADY_FINALIZED"), &json!(2)));
}

#[tokio::test]
async fn a_drain_whose_servers_have_died_ends_by_its_timer() {
    let app = TestApp::new().await;
    let token = service();
    let id = {
        let node = app.node().await;
        let id = register(&node, &token, "v3:one").await;
        begin(&node, &token, "v3:one", "SPEECH", "speech").await;
        report(&node, &token, "v3:one", "ENDED", json!({})).await;
        let given_up = async {
            until_draining(&node, &token, id).await;
            node.app.shutdown.drain.cancel();
        };
        let input = json!({ "input": { "callControlId": "v3:one", "drainMs": 20_000 } });
        let (answer, ()) = tokio::join!(node.run(&token, FINALIZE, input), given_up);
        assert_eq!(answer.code(), "UNAVAILABLE");
        node.stop().await;
        id
    };
    app.advance(22).await;
    let node = app.node().await;
    let mut stream = node
        .subscribe(
            &token,
            "subscription($id: UUID) { callStatus(callId: $id) { record { finalizedAt } } }",
            json!({ "id": id }),
        )
        .await;
    stream.until(|event| !event["record"]["finalizedAt"].is_null()).await;
    assert_eq!(finalize(&node, &token, "v3:one", 0).await["outcome"], "ALREADY_FINALIZED");
}

#[tokio::test]
async fn transcripts_have_pages_and_bounds() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    let id = register(&node, &token, "v3:one").await;
    for number in 1..=5 {
        node.data(&token, APPEND, line("v3:one", &number.to_string())).await;
    }
    let page = |arguments: &str| {
        format!(
            "query($id: UUID) {{ call(id: $id) {{ messages({arguments}) {{ nodes {{ text }} pageInfo {{ hasNextPage hasPreviousPage }} }} }} }}"
        )
    };
    let texts = |page: &Value| -> Vec<String> {
        page["messages"]["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| line["text"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = node.data(&token, &page("first: 2, after: \"1\""), json!({ "id": id })).await;
    assert_eq!(
        (texts(&first), &first["messages"]["pageInfo"]["hasNextPage"]),
        (vec!["2".to_owned(), "3".to_owned()], &json!(true))
    );
    let last = node.data(&token, &page("last: 2, before: \"5\""), json!({ "id": id })).await;
    assert_eq!(texts(&last), ["3", "4"]);
    for (role, text) in [("", "text"), ("role", ""), ("role", &*"x".repeat(10_001))] {
        let input = json!({ "input": { "callControlId": "v3:one", "role": role, "text": text } });
        assert_eq!(node.code(&token, APPEND, input).await, "BAD_USER_INPUT");
    }
    for drain_ms in [-1, 20_001] {
        let input = json!({ "input": { "callControlId": "v3:one", "drainMs": drain_ms } });
        assert_eq!(node.code(&token, FINALIZE, input).await, "BAD_USER_INPUT");
    }
}
