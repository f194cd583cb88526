//! Who dials, hangs up and speaks: one of a kind, none on a call that ends.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{CALL, HANG_UPS, activity, hang_up, register, report};
use crate::support::{
    app::{TestApp, service},
    client::Client,
};

const BEGIN: &str =
    "mutation($input: BeginCallOperationInput!) { beginCallOperation(input: $input) { outcome operation {
    id callId kind requestId fencingToken leaseExpiresAt } } }";
const DONE: &str = "mutation($input: CompleteCallOperationInput!) { completeCallOperation(input: $input) {
    completed callActive } }";

fn input(kind: &str, request: &str) -> Value {
    json!({ "callControlId": "v3:one", "kind": kind, "requestId": request })
}

async fn begin(client: &Client, token: &str, kind: &str, request: &str) -> Value {
    client.data(token, BEGIN, json!({ "input": input(kind, request) })).await
}

async fn begin_code(client: &Client, token: &str, kind: &str, request: &str) -> String {
    client.code(token, BEGIN, json!({ "input": input(kind, request) })).await
}

async fn done(client: &Client, token: &str, operation: &Value, succeeded: bool) -> (bool, bool) {
    let input =
        json!({ "operationId": operation["id"], "fencingToken": operation["fencingToken"], "succeeded": succeeded });
    let done = client.data(token, DONE, json!({ "input": input })).await;
    (done["completed"].as_bool().unwrap(), done["callActive"].as_bool().unwrap())
}

#[tokio::test]
async fn one_of_a_kind_runs_and_a_repeat_gets_its_own() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    register(&one, &token, "v3:one").await;
    let first = begin(&one, &token, "SPEECH", "first").await;
    assert_eq!(first["outcome"], "BEGUN");
    let again = begin(&two, &token, "SPEECH", "first").await;
    assert_eq!(
        (&again["operation"]["id"], &again["operation"]["fencingToken"]),
        (&first["operation"]["id"], &first["operation"]["fencingToken"])
    );
    let running = "query($name: String) { call(callControlId: $name) { operations { kind requestId fencingToken } } }";
    let shown = two.data(&token, running, json!({ "name": "v3:one" })).await["operations"].take();
    assert_eq!(
        shown,
        json!([{ "kind": "SPEECH", "requestId": "first", "fencingToken": first["operation"]["fencingToken"] }])
    );
    let other = crate::support::app::token(&switchboard::platform::auth::token::Claims::service(
        switchboard::demo::COMPANY_ID,
        "other",
    ));
    let shown = one.data(&other, running, json!({ "name": "v3:one" })).await["operations"].take();
    assert_eq!(shown[0]["fencingToken"], Value::Null, "only its owner sees the token");
    let second = begin(&two, &token, "SPEECH", "second").await;
    assert_eq!((&second["outcome"], &second["operation"]), (&json!("ALREADY_RUNNING"), &Value::Null));
    assert_eq!(begin(&two, &token, "STREAM", "another kind").await["outcome"], "BEGUN");
    let mut stale = first["operation"].clone();
    stale["fencingToken"] = json!("00000000000000000001");
    assert_eq!(done(&one, &token, &stale, true).await, (false, true));
    assert_eq!(done(&two, &token, &first["operation"], true).await, (true, true));
    assert_eq!(done(&two, &token, &first["operation"], true).await, (false, true), "a second time");
    assert_eq!(begin_code(&one, &token, "SPEECH", "first").await, "CONFLICT", "it is finished");
    let next = begin(&one, &token, "SPEECH", "second").await;
    assert!(next["operation"]["fencingToken"].as_str() > first["operation"]["fencingToken"].as_str());
    for kind in ["HANG_UP"] {
        assert_eq!(begin_code(&one, &token, kind, kind).await, "CONFLICT");
    }
    assert_eq!(begin(&one, &token, "DIAL", "dial").await["outcome"], "ALREADY_RUNNING");
}

#[tokio::test]
async fn an_operation_learns_that_its_call_has_ended_and_nothing_begins_on_it() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    register(&one, &token, "v3:one").await;
    let speech = begin(&one, &token, "SPEECH", "speech").await["operation"].take();
    report(&two, &token, "v3:one", "ENDED", json!({})).await;
    for kind in ["SPEECH", "STREAM", "TRANSFER", "DIAL", "HANG_UP"] {
        assert_eq!(begin(&one, &token, kind, kind).await["outcome"], "CALL_ENDED");
    }
    assert_eq!(begin(&one, &token, "SPEECH", "speech").await["outcome"], "CALL_ENDED", "a repeat is no renewal");
    assert_eq!(done(&one, &token, &speech, true).await, (true, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_begins_after_the_end_under_any_interleaving() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let (one, two, token) = (&one, &two, &service());
    for round in 0..20 {
        let name = format!("v3:{round}");
        register(one, token, &name).await;
        let begins = join_all((0..6).map(|number| {
            let (node, name) = ([one, two][number % 2], &name);
            async move {
                let input = json!({ "callControlId": name, "kind": "SPEECH", "requestId": number.to_string() });
                node.data(token, BEGIN, json!({ "input": input })).await["outcome"].as_str().unwrap().to_owned()
            }
        }));
        let (outcomes, _) = tokio::join!(begins, report(two, token, &name, "ENDED", json!({})));
        assert!(outcomes.iter().filter(|outcome| *outcome == "BEGUN").count() <= 1, "{outcomes:?}");
    }
    let mut sql = app.sql().await;
    let late: i64 = sqlx::query_scalar(
        "select count(*) from call_operation join call on call.company_id = call_operation.company_id
             and call.id = call_operation.call_id
         where call_operation.generation = call.generation or call_operation.began_at > call.updated_at",
    )
    .fetch_one(&mut sql)
    .await
    .unwrap();
    assert_eq!(late, 0, "an operation that began on an ended call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_all_dialers_one_hangs_up_and_one_that_dies_is_replaced() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let (nodes, token) = ([&one, &two], service());
    register(&one, &token, "v3:one").await;
    let mut dialer = two.subscribe(&token, HANG_UPS, json!({})).await;
    dialer.ready().await;
    hang_up(&one, &token, "v3:one").await;
    let names: Vec<String> = (0..20).map(|number| format!("dialer {number}")).collect();
    let begun =
        join_all(names.iter().enumerate().map(|(at, name)| begin(nodes[at % 2], &token, "HANG_UP", name))).await;
    let winners: Vec<&Value> = begun.iter().filter(|begun| begun["outcome"] == "BEGUN").collect();
    let [winner] = &winners[..] else { panic!("{begun:?}") };
    let dead = winner["operation"].clone();
    app.advance(31).await;
    one.app.waker.wake();
    // It entered, left when it was begun, and enters again when the lease of the dead one has ended.
    let told: Vec<Value> = dialer.events(3).await.iter_mut().map(|event| event["operation"].take()).collect();
    assert_eq!(told, ["INSERT", "DELETE", "INSERT"]);
    assert_eq!(done(&one, &token, &dead, true).await, (false, false), "a stale token");
    let second = begin(&one, &token, "HANG_UP", "second").await["operation"].take();
    assert_eq!(done(&one, &token, &second, false).await, (true, false), "a failed one returns at once");
    let third = begin(&one, &token, "HANG_UP", "third").await["operation"].take();
    assert_eq!(done(&two, &token, &third, true).await, (true, false));
    assert_eq!(begin(&one, &token, "HANG_UP", "fourth").await["outcome"], "ALREADY_RUNNING", "it is done");
    app.advance(31 + 11).await;
    one.app.waker.wake();
    // DELETE and INSERT of the second, DELETE of the third, INSERT because the end was not reported.
    let told: Vec<Value> = dialer.events(4).await.iter_mut().map(|event| event["operation"].take()).collect();
    assert_eq!(told, ["DELETE", "INSERT", "DELETE", "INSERT"]);
    assert_eq!(begin(&one, &token, "HANG_UP", "fifth").await["outcome"], "BEGUN");
    assert_eq!(activity(&one, &token, "v3:one").await, (false, json!("PENDING_HANG_UP")));
    assert_eq!(one.data(&token, CALL, json!({ "name": "v3:one" })).await["generation"], 2);
}

#[tokio::test]
async fn bounds_of_operations() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    assert_eq!(begin_code(&node, &token, "SPEECH", "unknown call").await, "NOT_FOUND");
    register(&node, &token, "v3:one").await;
    for (field, value) in [("leaseMs", json!(99)), ("leaseMs", json!(600_001)), ("requestId", json!(""))] {
        let mut input = input("SPEECH", "request");
        input[field] = value;
        assert_eq!(node.code(&token, BEGIN, json!({ "input": input })).await, "BAD_USER_INPUT");
    }
}
