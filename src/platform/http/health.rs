//! `/live`: the process runs. `/ready`: the process should get requests.
//!
//! Ready means all three: the database responds, the event listener is connected (without it subscriptions are late),
//! and no shutdown has begun. The report shows these three conditions and no other internals.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use serde::Serialize;
use sqlx::{Connection, PgPool};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::state::HttpState;

/// Longest time for a ping of the database. A slower one is of no use to requests either.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// What `/ready` checks.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// The requests' pool; a probe takes one of its connections.
    pub database: PgPool,
    /// True while the event listener is connected and up to date.
    pub listener: watch::Receiver<bool>,
    /// Cancelled when the server begins to shut down.
    pub draining: CancellationToken,
}

/// The body of `/ready`.
#[expect(clippy::struct_excessive_bools, reason = "four independent members of a JSON object")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The other three conditions hold.
    pub ready: bool,
    /// The database responded to a ping in time.
    pub database: bool,
    /// The event listener is connected and up to date.
    pub listener: bool,
    /// A shutdown has begun.
    pub draining: bool,
}

impl Readiness {
    /// Checks all three conditions now.
    pub async fn probe(&self) -> Report {
        let database = timeout(PROBE_TIME, async {
            // A ping is a round trip to the backend, without a statement.
            self.database.acquire().await?.ping().await
        });
        let database = matches!(database.await, Ok(Ok(())));
        let listener = *self.listener.borrow();
        let draining = self.draining.is_cancelled();
        Report { ready: database && listener && !draining, database, listener, draining }
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
