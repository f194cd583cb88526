//! Middleware around every request: a request id, a span for its log lines, metrics, and a response after a panic.
//!
//! Every fault is logged once, where it becomes an error. That happens inside this span, so the line carries the
//! request's id. This module logs only what no other part sees: a panic (`error`), and each refused request (`debug`,
//! to debug clients). No log line holds a header, a body or a query string.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::Response,
};
use futures_util::FutureExt;
use metrics::{counter, gauge, histogram};
use tracing::Instrument;

use super::{metrics as names, negotiation::ResponseType};
use crate::platform::{clock::new_id, error::Error};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Runs the request inside its span, and adds the headers that every response carries.
pub(super) async fn observe(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let mut count = Count::start(&request);
    let span = tracing::info_span!("request", %id, method = count.method, route = &*count.route);
    let result = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let _entered = span.enter();
    let mut response = result.unwrap_or_else(|_| {
        tracing::error!("a request panicked");
        super::response::error(ResponseType::Json, StatusCode::INTERNAL_SERVER_ERROR, Error::internal("panic"))
    });
    count.status = Some(response.status());
    if response.status().is_client_error() {
        tracing::debug!(status = response.status().as_u16(), "refused");
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The `X-Request-Id` of the request (a proxy may have set it) if it is safe to log; else a new id.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let harmless = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    match given {
        Some(id) if (1..=64).contains(&id.len()) && id.bytes().all(harmless) => id.to_owned(),
        _ => new_id().to_string(),
    }
}

/// Counts one request when it is dropped, so a request whose client disconnects is counted too (as `cancelled`).
struct Count {
    /// The route's pattern, such as `/assets/{name}`; `unknown` where none matched. Never a client's path.
    route: Arc<str>,
    method: &'static str,
    started: Instant,
    status: Option<StatusCode>,
}

impl Count {
    fn start(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or("unknown", MatchedPath::as_str).into();
        let method = match *request.method() {
            Method::GET => "GET",
            Method::POST => "POST",
            Method::HEAD => "HEAD",
            Method::OPTIONS => "OPTIONS",
            _ => "other",
        };
        gauge!(names::IN_FLIGHT).increment(1);
        Self { route, method, started: Instant::now(), status: None }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        gauge!(names::IN_FLIGHT).decrement(1);
        histogram!(names::DURATION, "route" => Arc::clone(&self.route)).record(self.started.elapsed());
        let status = self.status.map_or_else(|| "cancelled".to_owned(), |status| status.as_str().to_owned());
        counter!(names::REQUESTS, "route" => Arc::clone(&self.route), "method" => self.method, "status" => status)
            .increment(1);
    }
}
