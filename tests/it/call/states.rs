//! What each mutation does to a call in each state.

use serde_json::{Value, json};
use switchboard::demo;
use uuid::Uuid;

use super::{HANG_UP, REPORT, SCHEDULE};
use crate::support::{
    app::{Node, TestApp, service},
    client::Subscription,
};

const BEGIN: &str =
    "mutation($input: BeginCallOperationInput!) { beginCallOperation(input: $input) { outcome operation {
    id fencingToken } } }";
const DONE: &str = "mutation($input: CompleteCallOperationInput!) { completeCallOperation(input: $input) {
    completed callActive } }";
const APPEND: &str =
    "mutation($input: AppendCallMessageInput!) { appendCallMessage(input: $input) { message { id } } }";
const FINALIZE: &str = "mutation($input: FinalizeCallInput!) { finalizeCall(input: $input) { outcome } }";
const DISPATCHED: &str = "subscription { callDispatched { operation record { id } } }";

/// A state: its name, and the columns of a call in it that differ from those of a call that was just reserved.
type State = (&'static str, &'static str);

const QUEUED: State = ("QUEUED", "status = 'QUEUED'");
const RESERVED: State = ("RESERVED", "status = 'RESERVED'");
const DIALLING: State = ("dialling", "dialing = true");
const NAMED: State = ("RESERVED with a name", "call_control_id = id::text");
const RINGING: State = ("RINGING", "status = 'RINGING', call_control_id = id::text");
const IN_PROGRESS: State = ("IN_PROGRESS", "status = 'IN_PROGRESS', call_control_id = id::text");
const PENDING: State = ("ENDING, pending", "status = 'ENDING', generation = 2, pending_hang_up = true");
const ENDING: State = ("ENDING", "status = 'ENDING', generation = 2");
const ENDED: State = (
    "ENDED",
    "status = 'ENDED', generation = 2, end_reason = 'BUSY', told_reason = 'BUSY', told_at = now(), ended_at = now()",
);
const FINALIZED: State = (
    "finalized",
    "status = 'ENDED', generation = 2, end_reason = 'BUSY', told_reason = 'BUSY', told_at = now(), ended_at = now(),
     finalized_at = now()",
);

/// A call in this state.
async fn call_in(app: &TestApp, (_, columns): State) -> Uuid {
    let mut sql = app.sql().await;
    let id = Uuid::now_v7();
    let insert = "insert into call (company_id, id, user_id, agent_id, call_type, status, queued_at)
        values ($1, $2, 'user', 'agent', 'DIRECT', 'RESERVED', switchboard.now())";
    sqlx::query(insert).bind(demo::COMPANY_ID).bind(id).execute(&mut sql).await.unwrap();
    let update = sqlx::AssertSqlSafe(format!("update call set {columns} where id = $1"));
    sqlx::query(update).bind(id).execute(&mut sql).await.unwrap();
    id
}

/// What a mutation comes to: its outcome, or its code.
async fn outcome(node: &Node, document: &str, id: Uuid, mut input: Value) -> String {
    input["callId"] = json!(id);
    let answer = node.run(&service(), document, json!({ "input": input })).await;
    if !answer.code().is_empty() {
        return answer.code().to_owned();
    }
    let data = answer["data"].as_object().unwrap().values().next().unwrap();
    match (&data["outcome"], data.get("hangUpAt")) {
        (Value::String(outcome), _) => outcome.clone(),
        (_, Some(Value::Null)) => "null".to_owned(),
        (_, Some(_)) => "set".to_owned(),
        _ => "stored".to_owned(),
    }
}

#[tokio::test]
async fn every_mutation_in_every_state() {
    const C: &str = "CONFLICT";
    const B: &str = "BEGUN";
    const R: &str = "ALREADY_RUNNING";
    const E: &str = "CALL_ENDED";
    let app = TestApp::new().await;
    let node = app.node().await;
    let operation = |kind: &str| json!({ "kind": kind, "requestId": "request" });
    let mutations = [
        ("hangUpCall", HANG_UP, json!({ "reason": "test" })),
        ("SPEECH", BEGIN, operation("SPEECH")),
        ("STREAM", BEGIN, operation("STREAM")),
        ("TRANSFER", BEGIN, operation("TRANSFER")),
        ("DIAL", BEGIN, operation("DIAL")),
        ("HANG_UP", BEGIN, operation("HANG_UP")),
        ("scheduleHangUp", SCHEDULE, json!({ "afterMs": 5_000, "reason": "test" })),
        ("appendCallMessage", APPEND, json!({ "role": "caller", "text": "hello" })),
        ("finalizeCall", FINALIZE, json!({ "drainMs": 0 })),
    ];
    #[rustfmt::skip]
    let table: [(State, [&str; 9]); 10] = [
        //            hangUpCall         SPEECH STREAM TRANSFER DIAL HANG_UP schedule append    finalize
        (QUEUED,      ["INITIATED",       C,     C,     C,       C,   C,      C,       C,        C]),
        (RESERVED,    ["INITIATED",       C,     C,     C,       B,   C,      C,       "stored", C]),
        (DIALLING,    ["INITIATED",       B,     B,     B,       R,   C,      "set",   "stored", C]),
        (NAMED,       ["INITIATED",       B,     B,     B,       R,   C,      "set",   "stored", C]),
        (RINGING,     ["INITIATED",       B,     B,     B,       R,   C,      "set",   "stored", C]),
        (IN_PROGRESS, ["INITIATED",       B,     B,     B,       R,   C,      "set",   "stored", C]),
        (PENDING,     ["ALREADY_PENDING", E,     E,     E,       E,   B,      "null",  "stored", "FINALIZED"]),
        (ENDING,      ["INITIATED",       E,     E,     E,       E,   C,      "null",  "stored", "FINALIZED"]),
        (ENDED,       ["ALREADY_ENDED",   E,     E,     E,       E,   E,      "null",  "stored", "FINALIZED"]),
        (FINALIZED,   ["ALREADY_ENDED",   E,     E,     E,       E,   E,      "null",  C,        "ALREADY_FINALIZED"]),
    ];
    for (state, expected) in table {
        for ((name, document, input), expected) in mutations.iter().zip(expected) {
            let id = call_in(&app, state).await;
            assert_eq!(outcome(&node, document, id, input.clone()).await, expected, "{name} of a call {}", state.0);
        }
    }
}

#[tokio::test]
async fn a_hang_up_ends_what_nobody_dialled_and_leaves_the_rest_to_a_dialer() {
    let app = TestApp::new().await;
    let node = app.node().await;
    for state in [QUEUED, RESERVED, DIALLING, NAMED, IN_PROGRESS] {
        let id = call_in(&app, state).await;
        let hung_up = node.data(&service(), HANG_UP, json!({ "input": { "callId": id, "reason": "test" } })).await;
        let call = &hung_up["call"];
        let expected = if state == QUEUED || state == RESERVED {
            (json!("ENDED"), json!("CANCELED"), json!(false))
        } else {
            (json!("ENDING"), Value::Null, json!(true))
        };
        let shown = (call["status"].clone(), call["endReason"].clone(), call["pendingHangUp"].clone());
        assert_eq!(shown, expected, "{}", state.0);
        assert_eq!(call["generation"], 2);
    }
    let queued = call_in(&app, QUEUED).await;
    let early = json!({ "input": { "callId": queued, "status": "RINGING" } });
    assert_eq!(node.code(&service(), REPORT, early).await, "CONFLICT", "nobody has dialled it");
}

async fn change(stream: &mut Subscription) -> (Value, Value) {
    let mut event = stream.event().await;
    (event["operation"].take(), event["record"]["id"].take())
}

#[tokio::test]
async fn one_dialer_dials_and_a_call_whose_dialer_died_is_dispatched_again_unless_it_has_a_name() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    let (lost, named) = (call_in(&app, RESERVED).await, call_in(&app, RESERVED).await);
    let mut dialers = node.subscribe(&token, DISPATCHED, json!({})).await;
    assert_eq!(dialers.ready().await.len(), 2);
    let dial = |id: Uuid, request: &str| json!({ "input": { "callId": id, "kind": "DIAL", "requestId": request } });
    for id in [lost, named] {
        assert_eq!(node.data(&token, BEGIN, dial(id, "first")).await["outcome"], "BEGUN");
        assert_eq!(node.data(&token, BEGIN, dial(id, "second")).await["outcome"], "ALREADY_RUNNING");
        assert_eq!(change(&mut dialers).await, (json!("DELETE"), json!(id)));
    }
    let told = json!({ "input": { "callId": named, "status": "RINGING", "assignCallControlId": "v3:named" } });
    assert_eq!(node.data(&token, REPORT, told).await["outcome"], "APPLIED");
    app.advance(31).await;
    node.app.waker.wake();
    assert_eq!(change(&mut dialers).await, (json!("INSERT"), json!(lost)), "its dialer has died");
    let again = node.data(&token, BEGIN, dial(lost, "third")).await;
    assert_eq!(again["outcome"], "BEGUN");
    assert_eq!(change(&mut dialers).await, (json!("DELETE"), json!(lost)));
    let operation = &again["operation"];
    let failed =
        json!({ "operationId": operation["id"], "fencingToken": operation["fencingToken"], "succeeded": false });
    let done = node.data(&token, DONE, json!({ "input": failed })).await;
    assert_eq!(done, json!({ "completed": true, "callActive": false }));
    let shown = node.data(&token, super::CALL, json!({ "id": lost })).await;
    assert_eq!((&shown["status"], &shown["endReason"]), (&json!("ENDED"), &json!("FAILED")));
}
