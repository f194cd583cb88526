//! A background task that fails takes the server down with an error, and clients are sent to another server.

use crate::support::app::{TestApp, visitor};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stops_with_an_error_when_any_of_its_background_tasks_fails() {
    let app = TestApp::new().await;
    let names: Vec<_> = app.node().await.app.tasks.names().collect();
    let concepts = ["operation_prune", "call_prune", "call_queue", "call_queue_samples", "sessions"];
    let event_log = ["notifier", "listener", "reader", "retention"];
    let others = ["service", "authenticator", "scheduler", "timer listener", "idempotency", "bookmarks"];
    assert_eq!(names, [concepts.as_slice(), event_log.as_slice(), others.as_slice()].concat());
    for name in names {
        let node = app.node().await;
        assert_eq!(node.status("/ready").await, 200);
        let mut socket = node.socket(&visitor("eve")).await;
        // An abort and a panic reach the supervisor in the same way; its own tests show the panic.
        node.app.tasks.abort(name);
        assert_eq!(socket.closed().await.0, 1001, "{name}: the client reconnects elsewhere");
        let error = node.app.stopped().await.unwrap_err().chain();
        assert_eq!(error, format!("internal server error: background task {name} was aborted"));
    }
}
