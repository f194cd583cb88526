//! Ends of calls, and begins of DIAL, that arrive together share a transaction. Each has its own outcome.

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{BEGIN, REPORT, call, call_of, direct, end, initiate, item, item_of, limit};
use crate::support::{
    app::{Node, TestApp, service, service_of},
    chat::other_company,
    locks::until_waiting,
};

/// So many calls of one user with slots, and as many behind them.
async fn fill(node: &Node, token: &str, slots: i32) -> (Vec<Value>, Vec<Value>) {
    limit(node, token, "user", slots, slots).await;
    let mut all = Vec::new();
    for _ in 0..2 * slots {
        all.push(initiate(node, token, direct("user")).await);
    }
    let waiting = all.split_off(usize::try_from(slots).unwrap());
    assert!(all.iter().all(|answer| answer["admission"] == "STARTED"));
    assert!(waiting.iter().all(|answer| answer["admission"] == "QUEUED"));
    (all, waiting)
}

/// Sends requests while nobody gets the lock of the slots, so that all but the first one meet in a batch.
async fn together(app: &TestApp, node: &Node, token: &str, document: &str, inputs: &[Value]) -> Vec<(String, Value)> {
    let mut blocker = app.sql().await;
    let mut transaction = blocker.begin().await.unwrap();
    sqlx::raw_sql("select 1 from call_slots for no key update").execute(&mut *transaction).await.unwrap();
    let answers = join_all(inputs.iter().map(async |input| {
        let answer = node.run(token, document, json!({ "input": input })).await;
        (answer.code().to_owned(), answer["data"].clone())
    }));
    let release = async {
        until_waiting(&mut app.sql().await, 1).await;
        // They were sent before this one, whose answer needs no slots.
        for _ in 0..20 {
            node.data(token, "{ viewer { id } }", json!({})).await;
        }
        transaction.rollback().await.unwrap();
    };
    let (answers, ()) = tokio::join!(answers, release);
    answers
}

/// How many transactions appended events of this type.
async fn transactions(sql: &mut PgConnection, event_type: &str) -> i64 {
    let counted = "select count(distinct xid) from event where type = $1";
    sqlx::query_scalar(counted).bind(event_type).fetch_one(sql).await.unwrap()
}

fn outcome(answer: &(String, Value)) -> &str {
    if answer.0.is_empty() { answer.1["updateCallStatus"]["outcome"].as_str().unwrap() } else { &answer.0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_end_of_a_batch_has_its_own_outcome() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let foreign_token = service_of(other_company(&app).await);
    let foreign = call_of(&initiate(&node, &foreign_token, direct("user")).await);
    let (started, waiting) = fill(&node, &token, 20).await;
    let ended = |id: &str| json!({ "callId": id, "status": "ENDED", "endReason": "COMPLETED" });
    let named = |id: &str, name: &str| json!({ "callId": id, "status": "RINGING", "assignCallControlId": name });
    let ids: Vec<String> = started.iter().map(call_of).collect();
    end(&node, &token, &ids[19]).await;
    let mut keyed = ended(&ids[9]);
    keyed["idempotencyKey"] = json!("end");
    let mut failing = ended(&Uuid::now_v7().to_string());
    failing["idempotencyKey"] = json!("unknown");
    let mut inputs: Vec<Value> = ids[..9].iter().map(|id| ended(id)).collect();
    inputs.extend([
        keyed.clone(),
        ended(&ids[19]),
        ended(&Uuid::now_v7().to_string()),
        ended(&foreign),
        failing.clone(),
        named(&ids[10], "v3:one"),
        named(&ids[11], "v3:one"),
        named(&Uuid::now_v7().to_string(), "v3:unused"),
        json!({ "callControlId": "v3:parked", "status": "ENDED", "endReason": "BUSY" }),
        // It waits: its end takes it out of its line.
        ended(&call_of(&waiting[15])),
    ]);
    let mut sql = app.sql().await;
    let before = transactions(&mut sql, "CallReported").await;
    let answers = together(&app, &node, &token, REPORT, &inputs).await;
    let outcomes: Vec<&str> = answers.iter().map(outcome).collect();
    assert_eq!(outcomes[..10], ["APPLIED"; 10]);
    assert_eq!(outcomes[10..14], ["STALE", "NOT_FOUND", "NOT_FOUND", "NOT_FOUND"]);
    let mut two = outcomes[14..16].to_vec();
    two.sort_unstable();
    assert_eq!(two, ["APPLIED", "CONFLICT"], "one call has the name");
    assert_eq!(outcomes[16..], ["NOT_FOUND", "PARKED", "APPLIED"]);
    let shared = transactions(&mut sql, "CallReported").await - before;
    assert!(shared < 6, "11 ends and names in {shared} transactions");

    // Each freed slot has a new owner, in the order of the line.
    for (place, answer) in waiting.iter().enumerate() {
        let expected = if place < 11 {
            "RESERVED"
        } else if place == 15 {
            "ENDED"
        } else {
            "QUEUED"
        };
        assert_eq!(call(&node, &token, &call_of(answer)).await["status"], expected, "{place}");
    }
    let moved = item(&node, &token, &item_of(&waiting[16])).await;
    assert_eq!(moved["position"], 5, "four wait before it");
    assert_eq!(call(&node, &foreign_token, &foreign).await["status"], "RESERVED");
    // Who was refused leaves nothing: no key, and no name.
    let kept: Vec<String> = sqlx::query_scalar("select key from idempotency_key").fetch_all(&mut sql).await.unwrap();
    assert_eq!(kept, ["end"]);
    let empty = "select call_control_id from call_name where call_id is null";
    let empty: Vec<String> = sqlx::query_scalar(empty).fetch_all(&mut sql).await.unwrap();
    assert_eq!(empty, ["v3:parked"]);
    // A repeat gets the first outcome.
    assert_eq!(node.data(&token, REPORT, json!({ "input": keyed })).await["outcome"], "APPLIED");
    assert_eq!(end(&node, &token, &ids[9]).await["outcome"], "STALE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn news_of_one_call_in_one_batch_is_merged_in_any_order() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let (started, _) = fill(&node, &token, 6).await;
    let mut inputs = Vec::new();
    for (number, answer) in started.iter().enumerate() {
        let name = format!("v3:{number}");
        let assign = json!({ "callId": call_of(answer), "status": "RINGING", "assignCallControlId": name });
        assert_eq!(node.data(&token, REPORT, json!({ "input": assign })).await["outcome"], "APPLIED");
        // By each of its names, so that they do not wait for each other.
        for (status, by) in
            [("ENDED", json!({ "callId": call_of(answer) })), ("ENDED", json!({ "callControlId": name }))]
        {
            let mut input = by;
            input["status"] = json!(status);
            input["endReason"] = json!("BUSY");
            input["occurredAt"] = json!("2026-01-01T00:00:00Z");
            inputs.push(input);
        }
    }
    let answers = together(&app, &node, &token, REPORT, &inputs).await;
    for (answer, pair) in started.iter().zip(answers.chunks(2)) {
        let mut outcomes: Vec<&str> = pair.iter().map(outcome).collect();
        outcomes.sort_unstable();
        assert_eq!(outcomes, ["APPLIED", "STALE"], "{pair:?}");
        let ended = call(&node, &token, &call_of(answer)).await;
        assert_eq!(
            (&ended["status"], &ended["endReason"], &ended["version"]),
            (&json!("ENDED"), &json!("BUSY"), &json!(3))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_an_end_and_a_dialer_that_arrive_together_either_may_be_first() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let (nodes, token) = ([&one, &two], service());
    let (started, waiting) = fill(&one, &token, 40).await;
    let ids: Vec<String> = started.iter().map(call_of).collect();
    let dial = async |place: usize, id: &str, request: &str| {
        let input = json!({ "callId": id, "kind": "DIAL", "requestId": request });
        let answer = nodes[place % 2].run(&token, BEGIN, json!({ "input": input })).await;
        assert_eq!(answer.code(), "", "{answer:?}");
        answer["data"]["beginCallOperation"]["outcome"].as_str().unwrap().to_owned()
    };
    let finish = async |place: usize, id: &str| end(nodes[place / 2 % 2], &token, id).await["outcome"].clone();
    // Two dialers and an end for each call, in both orders, on the same server and on two.
    let raced = join_all(ids.iter().enumerate().map(async |(place, id)| {
        if place % 8 < 4 {
            tokio::join!(dial(place, id, "a"), dial(place + 1, id, "b"), finish(place, id))
        } else {
            let (ended, a, b) = tokio::join!(finish(place, id), dial(place, id, "a"), dial(place + 1, id, "b"));
            (a, b, ended)
        }
    }))
    .await;
    let mut sql = app.sql().await;
    for (id, (a, b, ended)) in ids.iter().zip(&raced) {
        assert_eq!(ended, "APPLIED");
        let begun = [a, b].iter().filter(|outcome| **outcome == "BEGUN").count();
        assert!(begun <= 1, "{a} {b}");
        let rows = "select count(*) from call_operation where call_id = $1";
        let operations: i64 =
            sqlx::query_scalar(rows).bind(id.parse::<Uuid>().unwrap()).fetch_one(&mut sql).await.unwrap();
        assert_eq!(operations, i64::try_from(begun).unwrap(), "who was told BEGUN, and nobody else");
        assert_eq!(dial(0, id, "late").await, "CALL_ENDED");
        assert_eq!(call(&one, &token, id).await["status"], "ENDED");
    }
    // What was dispatched by the ends is dialled by one each.
    let dialers: Vec<(String, &str)> =
        waiting.iter().flat_map(|answer| ["a", "b"].map(|request| (call_of(answer), request))).collect();
    let dialled =
        join_all(dialers.iter().enumerate().map(async |(place, (id, request))| dial(place, id, request).await)).await;
    for pair in dialled.chunks(2) {
        let mut outcomes = [&*pair[0], &*pair[1]];
        outcomes.sort_unstable();
        assert_eq!(outcomes, ["ALREADY_RUNNING", "BEGUN"]);
    }
    let begun = transactions(&mut sql, "CallOperationBegun").await;
    assert!(begun <= 80, "{begun}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_call_that_somebody_has_locked_holds_up_no_dialer_of_another() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let (started, _) = fill(&node, &token, 8).await;
    let mut blocker = app.sql().await;
    let mut transaction = blocker.begin().await.unwrap();
    let lock = "select 1 from call where id = $1 for no key update";
    let held = call_of(&started[0]);
    sqlx::query(lock).bind(held.parse::<Uuid>().unwrap()).execute(&mut *transaction).await.unwrap();
    let begin = |id: &str| json!({ "input": { "callId": id, "kind": "DIAL", "requestId": "dial" } });
    let others = async {
        let others = join_all(
            started[1..]
                .iter()
                .map(async |answer| node.data(&token, BEGIN, begin(&call_of(answer))).await["outcome"].clone()),
        )
        .await;
        assert!(others.iter().all(|outcome| outcome == "BEGUN"), "{others:?}");
        until_waiting(&mut app.sql().await, 1).await;
        transaction.rollback().await.unwrap();
    };
    let (waited, ()) = tokio::join!(node.data(&token, BEGIN, begin(&held)), others);
    assert_eq!(waited["outcome"], "BEGUN");
}
