//! Background tasks of one shape, under one supervisor.
//!
//! A [`Task`] is a name and a future that runs until its stop token is cancelled. The [`Supervisor`] owns the handles
//! of all of them:
//!
//! ```text
//! Supervisor::start(tasks, on_failure)
//!    task runs until stop()  ──────────────► joined; nothing to report
//!    task returns early, panics or is aborted ──► one line in the log
//!                                                 failure() becomes Some      /ready: 503, "tasks": false
//!                                                 on_failure is cancelled     the server drains and stops
//!                                                 stop() gives the failure    the process exits with a code
//! ```
//!
//! A failed task is never started again in this process. Its state may be half changed, and the same bug may meet it
//! again at once; a new process begins from what Postgres holds. So whatever restarts the process is needed: systemd,
//! a container's restart policy. A task deals with expected failures, such as a database that is away, in its own loop.
//!
//! All tasks that live as long as the server run here. A task whose life is shorter does not, because its end is
//! normal, and its owner sees a panic in another way:
//!
//! - One connection (`http/server.rs`, `http/websocket`): its end closes the client's socket, and the client
//!   reconnects. A tracker counts these tasks so that a shutdown can wait for them.
//! - One worker of a batch (`batch`): it ends when no call waits. It catches a panic of its batch, and each job
//!   then runs alone.
//! - One load of the JWKS (`auth/jwks.rs`): the caller that started it awaits its handle.
//! - The keeper of the embedded Postgres (`db/embedded`): it must outlive the server, which needs Postgres to shut
//!   down. `serve` watches it.

use std::{any::Any, collections::HashMap, future::Future};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::{
    sync::watch,
    task::{AbortHandle, Id, JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

mod last_look;
mod rounds;
#[cfg(test)]
mod tests;

pub use last_look::LastLook;
pub use rounds::rounds;

type Run = Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// A background task that has not been started.
pub struct Task {
    name: &'static str,
    run: Run,
}

impl Task {
    /// A task whose future must run until the token that it is given is cancelled. The name is for logs.
    pub fn new<F: Future<Output = ()> + Send + 'static>(
        name: &'static str,
        run: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> Self {
        Self { name, run: Box::new(|stop| run(stop).boxed()) }
    }
}

/// A background task ended before it was stopped, or panicked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("background task {task} {reason}")]
pub struct Failure {
    /// The task's name.
    pub task: &'static str,
    /// `ended`, `was aborted` or `panicked: …`.
    pub reason: String,
}

/// The first failure, once there is one. A closed channel counts as a failure too: the supervisor is gone.
pub type FailureWatch = watch::Receiver<Option<Failure>>;

/// Runs tasks until [`Supervisor::stop`]; dropped, it stops them without waiting.
#[derive(Debug)]
pub struct Supervisor {
    stop: CancellationToken,
    aborts: Vec<(&'static str, AbortHandle)>,
    failure: FailureWatch,
}

impl Supervisor {
    /// Starts `tasks`. The first failure of one of them cancels `on_failure`; the others run on until they are stopped,
    /// so that the requests of a draining server still work.
    pub fn start(tasks: Vec<Task>, on_failure: CancellationToken) -> Self {
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        let start = |Task { name, run }| (name, running.spawn(run(stop.clone())));
        let aborts: Vec<(&'static str, AbortHandle)> = tasks.into_iter().map(start).collect();
        let names = aborts.iter().map(|(name, handle)| (handle.id(), *name)).collect();
        let (report, failure) = watch::channel(None);
        // The handle is not needed: whatever ends this task drops `report`, and a closed channel is a failure.
        tokio::spawn(supervise(running, names, stop.clone(), report, on_failure));
        Self { stop, aborts, failure }
    }

    /// For `/ready`, and for whatever else must know that the server cannot do all of its work.
    pub fn failure(&self) -> FailureWatch {
        self.failure.clone()
    }

    /// The tasks' names, in the order in which they were started.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.aborts.iter().map(|(name, _)| *name)
    }

    /// Aborts the named task at its next await, to make the server fail as a bug in the task would. For drills and tests.
    pub fn abort(&self, name: &str) {
        for (_, handle) in self.aborts.iter().filter(|(other, _)| *other == name) {
            handle.abort();
        }
    }

    /// Stops the tasks and waits until all have ended. Cancel-safe: the tasks stay stopped, and a second call waits on.
    ///
    /// # Errors
    /// The first failure, whenever it happened.
    pub async fn stop(&mut self) -> Result<(), Failure> {
        self.stop.cancel();
        // The channel closes when the last task has been joined.
        while self.failure.changed().await.is_ok() {}
        self.failure.borrow().clone().map_or(Ok(()), Err)
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Joins the tasks as they end, and reports those that panic or end before the stop.
async fn supervise(
    mut running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    stop: CancellationToken,
    report: watch::Sender<Option<Failure>>,
    on_failure: CancellationToken,
) {
    while let Some(ended) = running.join_next_with_id().await {
        let (id, reason) = match ended {
            Ok(_) if stop.is_cancelled() => continue,
            Ok((id, ())) => (id, "ended".to_owned()),
            // Also after the stop: a panic is a fault whenever it comes.
            Err(error) => (error.id(), reason(error)),
        };
        let task = names.get(&id).copied().unwrap_or("unknown");
        tracing::error!(task, reason, "a background task failed; the server stops");
        report.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(Failure { task, reason });
            is_first
        });
        on_failure.cancel();
    }
}

fn reason(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => format!("panicked: {}", panic_message(&*panic)),
        Err(_) => "was aborted".to_owned(),
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("with no message")
}
