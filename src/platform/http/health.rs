//! `/live`: the process runs. `/ready`: the process should get requests.
//!
//! Ready means all five: the database responds, the event log is being read (without it subscriptions are late), due
//! timers are being looked for, every background task runs, and no shutdown has begun. The body names the checks, and says
//! how long ago the log and the timers were last looked at: a loop that hangs on a frozen link fails by its age.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use serde::Serialize;
use sqlx::{Connection, PgPool};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::state::HttpState;
use crate::platform::task::{FailureWatch, LastLook};

/// Longest wait for the database. One that is slower cannot serve requests either. Leaves time to replace a connection
/// whose link is frozen.
const PROBE_TIME: Duration = Duration::from_secs(2);

/// What `/ready` checks.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// The requests' pool; a probe takes one of its connections.
    pub database: PgPool,
    /// True while the reader of the event log can read it.
    pub listener: watch::Receiver<bool>,
    /// The reader's last read of the event log.
    pub last_read: LastLook,
    /// The scheduler's last look for due timers.
    pub last_timers: LastLook,
    /// Oldest last read and last look of a server that is ready.
    pub max_age: Duration,
    /// Set once a background task has failed.
    pub tasks: FailureWatch,
    /// Cancelled when the server begins to shut down.
    pub draining: CancellationToken,
}

/// The body of `/ready`.
#[expect(clippy::struct_excessive_bools, reason = "independent checks, as the JSON shows them")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Report {
    /// All checks passed.
    pub ready: bool,
    /// The database responded in time.
    pub database: bool,
    /// The event log is being read.
    pub listener: bool,
    /// Due timers are being looked for.
    pub timers: bool,
    /// Every background task runs.
    pub tasks: bool,
    /// A shutdown is under way.
    pub draining: bool,
    /// Milliseconds since the event log was last read.
    #[serde(rename = "logAgeMs")]
    pub log_age_ms: u64,
    /// Milliseconds since due timers were last looked for.
    #[serde(rename = "timersAgeMs")]
    pub timers_age_ms: u64,
}

impl Readiness {
    /// Makes all checks.
    pub async fn probe(&self) -> Report {
        let database = timeout(PROBE_TIME, async {
            // A ping is a round trip to the backend, without a statement.
            self.database.acquire().await?.ping().await
        });
        let database = matches!(database.await, Ok(Ok(())));
        let (log_age, timers_age) = (self.last_read.age(), self.last_timers.age());
        // A closed channel is a reader that is gone, whatever its last report was.
        let is_open = *self.listener.borrow() && self.listener.has_changed().is_ok();
        let listener = is_open && log_age <= self.max_age;
        let timers = timers_age <= self.max_age;
        let tasks = self.tasks.borrow().is_none() && self.tasks.has_changed().is_ok();
        let draining = self.draining.is_cancelled();
        Report {
            ready: database && listener && timers && tasks && !draining,
            database,
            listener,
            timers,
            tasks,
            draining,
            log_age_ms: millis(log_age),
            timers_age_ms: millis(timers_age),
        }
    }
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

/// `GET /live`: 200 as long as the process serves requests.
pub(crate) async fn live() -> impl IntoResponse {
    Json(serde_json::json!({ "live": true }))
}

/// `GET /ready`: 200 or 503, with the report.
pub(crate) async fn ready(State(state): State<Arc<HttpState>>) -> impl IntoResponse {
    let report = state.readiness.probe().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}
