//! Calls that a client may repeat: `idempotencyKey` and `commandId`.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{HANG_UP, REPORT, hang_up, register, report};
use crate::support::{
    app::{TestApp, service, token},
    client::Client,
};
use switchboard::{demo, platform::auth::token::Claims};

const APPEND: &str = "mutation($input: AppendCallMessageInput!) { appendCallMessage(input: $input) { message { id callId role text } } }";

fn command(name: &str, reason: &str, id: &str) -> Value {
    json!({ "input": { "callControlId": name, "reason": reason, "commandId": id } })
}

async fn status(client: &Client, token: &str, name: &str) -> Value {
    let call = "query($name: String) { call(callControlId: $name) { status version messages { nodes { text } } } }";
    client.data(token, call, json!({ "name": name })).await
}

#[tokio::test]
async fn a_repeated_report_gets_the_first_outcome_and_the_call_as_it_is_now() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    register(&one, &token, "v3:one").await;
    let key = json!({ "idempotencyKey": "news 1" });
    let first = report(&one, &token, "v3:one", "IN_PROGRESS", key.clone()).await;
    assert_eq!((&first["outcome"], &first["call"]["status"]), (&json!("APPLIED"), &json!("IN_PROGRESS")));
    report(&one, &token, "v3:one", "ENDED", json!({})).await;
    let again = report(&two, &token, "v3:one", "IN_PROGRESS", key.clone()).await;
    assert_eq!((&again["outcome"], &again["call"]["status"]), (&json!("APPLIED"), &json!("ENDED")));
    let other = json!({ "input": { "callControlId": "v3:one", "status": "ENDED", "idempotencyKey": "news 1" } });
    assert_eq!(one.code(&token, REPORT, other).await, "IDEMPOTENCY_MISMATCH");
    let parked = report(&one, &token, "v3:unknown", "RINGING", json!({ "idempotencyKey": "news 2" })).await;
    let again = report(&two, &token, "v3:unknown", "RINGING", json!({ "idempotencyKey": "news 2" })).await;
    assert_eq!((&parked["outcome"], &again), (&json!("PARKED"), &parked));
    let mut sql = app.sql().await;
    let kept: i64 = sqlx::query_scalar("select count(*) from call_news").fetch_one(&mut sql).await.unwrap();
    assert_eq!(kept, 1, "parked once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_message_that_is_sent_again_is_in_the_transcript_once() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let (nodes, token) = ([&one, &two], service());
    register(&one, &token, "v3:one").await;
    let line = |text: &str, key: &str| json!({ "input": { "callControlId": "v3:one", "role": "caller", "text": text, "idempotencyKey": key } });
    let sent = join_all((0..10).map(|number| nodes[number % 2].data(&token, APPEND, line("hello", "line 1")))).await;
    assert!(sent.iter().all(|message| *message == sent[0]), "{sent:?}");
    assert_eq!(one.code(&token, APPEND, line("bye", "line 1")).await, "IDEMPOTENCY_MISMATCH");
    one.data(&token, APPEND, line("bye", "line 2")).await;
    let texts = status(&two, &token, "v3:one").await["messages"]["nodes"].take();
    assert_eq!(texts, json!([{ "text": "hello" }, { "text": "bye" }]));
    for bad in ["", &*"x".repeat(201)] {
        assert_eq!(one.code(&token, APPEND, line("hello", bad)).await, "BAD_USER_INPUT");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_repeated_command_replays_the_first_answer_whoever_repeats_it() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let (nodes, token_of_one) = ([&one, &two], service());
    let other = token(&Claims::service(demo::COMPANY_ID, "another server"));
    let tokens = [&token_of_one, &other];
    register(&one, &token_of_one, "v3:one").await;
    let answers =
        join_all((0..20).map(|number| {
            nodes[number % 2].data(tokens[number / 2 % 2], HANG_UP, command("v3:one", "over", "command 1"))
        }))
        .await;
    assert!(answers.iter().all(|answer| answer["outcome"] == "INITIATED"), "{answers:?}");
    assert_eq!(hang_up(&one, &token_of_one, "v3:one").await["outcome"], "ALREADY_PENDING");
    report(&one, &token_of_one, "v3:one", "ENDED", json!({})).await;
    let replayed = two.data(&other, HANG_UP, command("v3:one", "over", "command 1")).await;
    assert_eq!((&replayed["outcome"], &replayed["call"]["status"]), (&json!("INITIATED"), &json!("ENDED")));
    let mismatch = two.run(&other, HANG_UP, command("v3:one", "another reason", "command 1")).await;
    assert_eq!(mismatch.code(), "IDEMPOTENCY_MISMATCH");
    assert!(mismatch["errors"][0]["message"].as_str().unwrap().starts_with("commandId"), "{mismatch:?}");
    // The same command to another call is another command.
    register(&one, &token_of_one, "v3:two").await;
    assert_eq!(one.data(&other, HANG_UP, command("v3:two", "over", "command 1")).await["outcome"], "INITIATED");
    // And one to a call that is not known stays what it was when the call has become known.
    let parked = one.data(&other, HANG_UP, command("v3:three", "over", "command 1")).await;
    assert_eq!((&parked["outcome"], &parked["call"]), (&json!("PARKED"), &Value::Null));
    register(&one, &token_of_one, "v3:three").await;
    assert_eq!(one.data(&other, HANG_UP, command("v3:three", "over", "command 1")).await["outcome"], "PARKED");
    assert_eq!(status(&one, &other, "v3:three").await["status"], "ENDING", "it was hung up when it took its name");
}
