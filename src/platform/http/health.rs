//! `/live`: the process runs. `/ready`: send it requests, or not, and why.
//!
//! Ready means all three: the database answers, the event listener is connected (without it subscriptions are
//! late), and no shutdown has begun. The answer names what is wrong and nothing else of the inside.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode, response::IntoResponse};
use serde::Serialize;
use sqlx::{Connection, PgPool};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::HttpState;

/// A database that needs longer than this to answer is no use to a request either.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// What `/ready` asks.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// The pool that requests use; a probe takes one connection of it.
    pub database: PgPool,
    /// True while the event listener is connected and up to date.
    pub listener: watch::Receiver<bool>,
    /// Cancelled when the server begins to shut down.
    pub draining: CancellationToken,
}

/// The body of `/ready`.
#[expect(clippy::struct_excessive_bools, reason = "independent answers to four questions, as JSON shows them")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Report {
    /// All is well.
    pub ready: bool,
    /// The database answered in time.
    pub database: bool,
    /// The event listener is live.
    pub listener: bool,
    /// A shutdown is under way.
    pub draining: bool,
}

impl Readiness {
    /// Asks all three.
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

/// `GET /live`.
pub async fn live() -> impl IntoResponse {
    Json(serde_json::json!({ "live": true }))
}

/// `GET /ready`.
pub async fn ready(State(state): State<Arc<HttpState>>) -> impl IntoResponse {
    let report = state.readiness.probe().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report))
}
