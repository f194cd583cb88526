//! The statements on calls look rows up by their whole keys, also with plans that were made on empty or small tables.

use serde_json::json;

use super::{register, report};
use crate::support::{
    app::{TestApp, service},
    plans,
};

const STATEMENTS: [&str; 22] = [
    "src/call/sql/lock_call.sql",
    "src/call/sql/try_lock_calls.sql",
    "src/call/sql/find_calls.sql",
    "src/call/sql/update_calls.sql",
    "src/call/sql/lock_name.sql",
    "src/call/sql/find_name.sql",
    "src/call/sql/find_names.sql",
    "src/call/sql/give_name.sql",
    "src/call/sql/take_news.sql",
    "src/call/sql/operations.sql",
    "src/call/sql/operation_counters.sql",
    "src/call/sql/put_operations.sql",
    "src/call/sql/call_of_operation.sql",
    "src/call/sql/write_operation_versions.sql",
    "src/call/sql/running_operations.sql",
    "src/call/sql/transcripts.sql",
    "src/call/sql/lock_transcripts.sql",
    "src/call/sql/known_messages.sql",
    "src/call/sql/write_messages.sql",
    "src/call/sql/messages.sql",
    "src/call/sql/lock_unused_names.sql",
    "src/call/sql/delete_names.sql",
];

#[tokio::test]
async fn calls_and_what_hangs_on_them_are_looked_up_by_their_whole_keys() {
    let app = TestApp::new().await;
    let mut session = plans::session(&app.database.options()).await;
    plans::assert_whole_keys(&mut session, "empty", &STATEMENTS).await;
    let (node, token) = (app.node().await, service());
    let append = "mutation($input: AppendCallMessageInput!) { appendCallMessage(input: $input) { message { id } } }";
    let begin = "mutation($input: BeginCallOperationInput!) { beginCallOperation(input: $input) { outcome } }";
    for number in 0..60 {
        let name = format!("v3:{number}");
        register(&node, &token, &name).await;
        let line = json!({ "callControlId": name, "role": "caller", "text": "hello" });
        node.data(&token, append, json!({ "input": line })).await;
        let speech = json!({ "callControlId": name, "kind": "SPEECH", "requestId": "speech" });
        node.data(&token, begin, json!({ "input": speech })).await;
        report(&node, &token, &format!("v3:unknown {number}"), "RINGING", json!({})).await;
    }
    sqlx::raw_sql("analyze").execute(&mut session).await.unwrap();
    plans::assert_whole_keys(&mut session, "small", &STATEMENTS).await;
    // Lists read by an index of the company, never the whole table.
    for file in ["src/call/sql/open_calls.sql", "src/call/sql/list_calls.sql", "src/call/sql/prune_news.sql"] {
        let plan = plans::plan(&mut session, file).await;
        assert!(!plan.contains("Seq Scan") && plan.contains("Index"), "{file}: {plan}");
    }
}
