use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;

/// A task that runs until it is stopped, then counts itself.
fn obedient(name: &'static str, stopped: &Arc<AtomicUsize>) -> Task {
    let stopped = Arc::clone(stopped);
    Task::new(name, move |stop| async move {
        stop.cancelled().await;
        stopped.fetch_add(1, Ordering::SeqCst);
    })
}

/// The failure that a supervisor reports when `bad` runs beside two tasks that obey.
async fn failure_of(bad: Task) -> Failure {
    let (stopped, on_failure) = (Arc::default(), CancellationToken::new());
    let tasks = vec![obedient("first", &stopped), bad, obedient("last", &stopped)];
    let mut supervisor = Supervisor::start(tasks, on_failure.clone());
    supervisor.abort("aborted");
    let mut watch = supervisor.failure();
    on_failure.cancelled().await;
    let seen = watch.wait_for(Option::is_some).await.expect("the supervisor still runs").clone();
    assert_eq!(stopped.load(Ordering::SeqCst), 0, "the other tasks run on");
    let failure = supervisor.stop().await.expect_err("a task failed");
    assert_eq!(stopped.load(Ordering::SeqCst), 2, "the other tasks were stopped and joined");
    assert_eq!(seen.as_ref(), Some(&failure));
    failure
}

#[tokio::test]
async fn tasks_that_end_when_stopped_are_no_failure() {
    let (stopped, on_failure) = (Arc::default(), CancellationToken::new());
    let mut supervisor = Supervisor::start(vec![obedient("a", &stopped), obedient("b", &stopped)], on_failure.clone());
    assert_eq!(supervisor.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(supervisor.stop().await, Ok(()));
    assert_eq!(stopped.load(Ordering::SeqCst), 2);
    assert!(!on_failure.is_cancelled());
}

#[tokio::test]
async fn a_task_that_panics_is_reported_with_its_message() {
    let bad = Task::new("bad", |_| async { panic!("no row {}", 7) });
    assert_eq!(failure_of(bad).await, Failure { task: "bad", reason: "panicked: no row 7".into() });
}

#[tokio::test]
async fn a_task_that_ends_unasked_is_reported() {
    let bad = Task::new("bad", |_| async {});
    assert_eq!(failure_of(bad).await.to_string(), "background task bad ended");
}

#[tokio::test]
async fn an_aborted_task_is_reported() {
    let bad = Task::new("aborted", |_| pending());
    assert_eq!(failure_of(bad).await, Failure { task: "aborted", reason: "was aborted".into() });
}

#[tokio::test]
async fn a_panic_while_stopping_is_still_a_failure() {
    let on_failure = CancellationToken::new();
    let bad = Task::new("bad", |stop| async move {
        stop.cancelled().await;
        panic!("at the end");
    });
    let failure = Supervisor::start(vec![bad], on_failure).stop().await.expect_err("it panicked");
    assert_eq!(failure.reason, "panicked: at the end");
}

#[tokio::test]
async fn the_first_failure_is_kept() {
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let bad = |name, go: &CancellationToken| {
        let go = go.clone();
        Task::new(name, move |_| async move { go.cancelled().await })
    };
    let on_failure = CancellationToken::new();
    let tasks = vec![bad("second", &second), bad("first", &first)];
    let mut supervisor = Supervisor::start(tasks, on_failure.clone());
    first.cancel();
    on_failure.cancelled().await;
    second.cancel();
    let failure = supervisor.stop().await.expect_err("both failed");
    assert_eq!(failure.task, "first");
}

#[tokio::test]
async fn a_dropped_supervisor_stops_its_tasks() {
    let stopped = Arc::default();
    let supervisor = Supervisor::start(vec![obedient("a", &stopped)], CancellationToken::new());
    let mut failure = supervisor.failure();
    drop(supervisor);
    assert!(failure.changed().await.is_err(), "the channel closes when the task has been joined");
    assert_eq!(stopped.load(Ordering::SeqCst), 1);
}
