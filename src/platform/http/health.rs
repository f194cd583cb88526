//! `/live`: the process runs. `/ready`: the process should get requests.
//!
//! Ready means all four: the database responds, the event log is being read (without it subscriptions are late), every
//! background task runs, and no shutdown has begun. The body names the checks and gives no details.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use serde::Serialize;
use sqlx::{Connection, PgPool};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::state::HttpState;
use crate::platform::task::FailureWatch;

/// Longest wait for the database. One that is slower cannot serve requests either.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// What `/ready` checks.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// The requests' pool; a probe takes one of its connections.
    pub database: PgPool,
    /// True while the reader of the event log can read it.
    pub listener: watch::Receiver<bool>,
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
    /// Every background task runs.
    pub tasks: bool,
    /// A shutdown is under way.
    pub draining: bool,
}

impl Readiness {
    /// Makes all checks.
    pub async fn probe(&self) -> Report {
        let database = timeout(PROBE_TIME, async {
            // A ping is a round trip to the backend, without a statement.
            self.database.acquire().await?.ping().await
        });
        let database = matches!(database.await, Ok(Ok(())));
        // A closed channel is a reader that is gone, whatever its last report was.
        let listener = *self.listener.borrow() && self.listener.has_changed().is_ok();
        let tasks = self.tasks.borrow().is_none() && self.tasks.has_changed().is_ok();
        let draining = self.draining.is_cancelled();
        Report { ready: database && listener && tasks && !draining, database, listener, tasks, draining }
    }
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
