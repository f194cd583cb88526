//! What one socket sends about one call without waiting takes effect in the order in which it was sent.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{REPORT, register};
use crate::support::{
    app::{Node, TestApp, service},
    chat::EVENTS,
};

const APPEND: &str =
    "mutation($input: AppendCallMessageInput!) { appendCallMessage(input: $input) { message { id } } }";
const FINALIZE: &str = "mutation($input: FinalizeCallInput!) { finalizeCall(input: $input) { outcome call {
    messages(first: 100) { nodes { text } } } } }";
const MESSAGES: usize = 60;

/// Sends everything at once on one socket, and waits for all answers; the data of each, in the order of the requests.
async fn pipeline(node: &Node, token: &str, requests: &[(&str, Value)]) -> Vec<Value> {
    let mut socket = node.socket(token).await;
    for (number, (document, input)) in requests.iter().enumerate() {
        let payload = json!({ "query": document, "variables": { "input": input } });
        socket.send(json!({ "type": "subscribe", "id": number.to_string(), "payload": payload })).await;
    }
    let mut answers = vec![Value::Null; requests.len()];
    let mut completed = 0;
    while completed < requests.len() {
        let mut message = socket.next().await;
        if message["type"] == "next" {
            let number: usize = message["id"].as_str().unwrap().parse().unwrap();
            assert!(message["payload"].get("errors").is_none(), "{number}: {message}");
            answers[number] = message["payload"]["data"].take();
        }
        completed += usize::from(message["type"] == "complete");
    }
    answers
}

fn texts() -> Vec<String> {
    (0..MESSAGES).map(|number| number.to_string()).collect()
}

/// A call's whole end: its transcript, its news, its close.
fn a_call(name: &Value) -> Vec<(&'static str, Value)> {
    let with = |mut more: Value| {
        more.as_object_mut().unwrap().extend(name.as_object().unwrap().clone());
        more
    };
    let append = |text: String| (APPEND, with(json!({ "role": "caller", "text": text })));
    let mut requests: Vec<(&str, Value)> = texts().into_iter().map(append).collect();
    requests.insert(10, (REPORT, with(json!({ "status": "IN_PROGRESS" }))));
    requests.push((REPORT, with(json!({ "status": "ENDING" }))));
    requests.push((REPORT, with(json!({ "status": "ENDED", "endReason": "COMPLETED" }))));
    requests.push((FINALIZE, with(json!({ "drainMs": 0 }))));
    requests
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn transcript_news_and_close_of_a_call_keep_the_order_of_their_socket() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let mut names = Vec::new();
    for number in 0..4 {
        let control_id = format!("v3:{number}");
        let id = register(&node, &token, &control_id).await;
        // Half of them by each of their names.
        names
            .push((id, if number % 2 == 0 { json!({ "callId": id }) } else { json!({ "callControlId": control_id }) }));
    }
    let requests: Vec<Vec<(&str, Value)>> = names.iter().map(|(_, name)| a_call(name)).collect();
    let answers = join_all(requests.iter().map(|requests| pipeline(&node, &token, requests))).await;
    for ((id, _), answers) in names.iter().zip(answers) {
        let closed = &answers.last().unwrap()["finalizeCall"];
        assert_eq!(closed["outcome"], "FINALIZED", "everything before it came before it");
        let lines = closed["call"]["messages"]["nodes"].as_array().unwrap();
        let lines: Vec<&str> = lines.iter().map(|line| line["text"].as_str().unwrap()).collect();
        assert_eq!(lines, texts());
        let outcomes: Vec<&Value> = answers
            .iter()
            .filter_map(|answer| answer.get("updateCallStatus"))
            .map(|report| &report["outcome"])
            .collect();
        assert_eq!(outcomes, ["APPLIED", "APPLIED", "APPLIED"], "none was overtaken by a later one");
        let trail = node.data(&token, EVENTS, json!({ "id": id, "kind": "call" })).await;
        let statuses = trail["nodes"].as_array().unwrap().iter().map(|event| event["payload"]["status"].clone());
        assert_eq!(statuses.collect::<Vec<_>>(), ["RINGING", "IN_PROGRESS", "ENDING", "ENDED", "ENDED"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn messages_are_numbered_without_gaps_while_another_server_changes_the_call() {
    // A statement that wrote messages could lock a version of the call that it did not see: the messages were inserted, and
    // the call did not count them, so that every later message got a number that was taken.
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    let id = register(&one, &token, "v3:one").await;
    let schedule = "mutation($input: ScheduleHangUpInput!) { scheduleHangUp(input: $input) { hangUpAt } }";
    let (written, changed) = tokio::join!(
        join_all((0..150).map(|number| {
            let input = json!({ "callId": id, "role": "caller", "text": number.to_string() });
            one.run(&token, APPEND, json!({ "input": input }))
        })),
        join_all((0..150).map(|number| {
            let input = json!({ "callControlId": "v3:one", "afterMs": 60_000 + number, "reason": "test" });
            two.run(&token, schedule, json!({ "input": input }))
        })),
    );
    for answer in written.iter().chain(&changed) {
        assert_eq!(answer.code(), "", "{answer:?}");
    }
    let (counted, numbered, last): (i32, i64, i32) = sqlx::query_as(
        "select messages, (select count(*) from call_message where call_id = call.id),
             (select max(number) from call_message where call_id = call.id)
         from call where id = $1",
    )
    .bind(id)
    .fetch_one(&mut app.sql().await)
    .await
    .unwrap();
    assert_eq!((counted, numbered, last), (150, 150, 150));
}
