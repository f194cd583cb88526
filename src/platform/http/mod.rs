//! The transports: GraphQL over HTTP, GraphQL over WebSocket, health, metrics, and the pages for a browser.
//!
//! ```text
//! server.rs   accept loop, time limits, shutdown
//!   observe.rs   request id, span, metrics, panics
//!     cors.rs      which web pages may call; in development also a check of Host and Origin
//!       routes, listed in src/router.rs
//!         graphql.rs    POST, GET: negotiation ─► body ─► parameters ─► bearer ─► engine ─► answer.rs
//!         websocket/    upgrades
//!         console.rs    a browser that navigates here; page.rs where the console was not built
//!         health.rs  metrics.rs  endpoints.rs
//! ```
//! Guarantees for every response: it carries an `X-Request-Id`; it is not cacheable (except the console's files); an
//! error is JSON of the form `{"errors":[{"message","extensions":{"code"}}]}`, also for an unknown path or a wrong
//! method.
//!
//! Transports decide nothing about rights or records. They read a request, let `auth` find the caller, pass the
//! request to the engine, and write its response.

pub mod answer;
pub mod bearer;
mod body;
pub(crate) mod console;
pub mod cors;
pub(crate) mod endpoints;
pub(crate) mod graphql;
pub mod health;
pub mod metrics;
pub mod negotiation;
mod observe;
pub(crate) mod page;
pub mod parameters;
pub mod remote;
pub mod server;
pub mod websocket;

use std::sync::Arc;

use axum::{Router, extract::FromRef, middleware};

use crate::platform::{auth::Authenticator, clock::Clock, config::HttpSettings, graphql::engine::Engine};

pub use self::{
    cors::OriginPolicy,
    health::Readiness,
    server::{Shutdown, serve},
    websocket::{Peer, SocketState},
};

/// What the routes share.
pub struct HttpState {
    /// Executes GraphQL.
    pub engine: Engine,
    /// Finds the caller of a request from its credential.
    pub authenticator: Authenticator,
    /// Limits and times.
    pub settings: Arc<HttpSettings>,
    /// Allows origins of web pages beyond the configured ones; `None` allows no others.
    pub origin_policy: Option<Arc<dyn OriginPolicy>>,
    /// What `/ready` checks.
    pub readiness: Readiness,
    /// The two stages of stopping. Each WebSocket watches both stages and runs as one of its tasks.
    pub shutdown: Shutdown,
    /// This server's clock, shown at `/api/time`.
    pub clock: Clock,
    /// Development mode: pages of loopback origins may call, pages of other origins may not.
    pub development: bool,
}

/// The router's state; each handler extracts the part that it needs. Cloned once a request for every layer, so its
/// parts are pointers.
#[derive(Clone)]
pub(crate) struct RouterState {
    http: Arc<HttpState>,
    sockets: Arc<SocketState>,
}

impl FromRef<RouterState> for Arc<HttpState> {
    fn from_ref(state: &RouterState) -> Self {
        Arc::clone(&state.http)
    }
}

impl FromRef<RouterState> for Arc<SocketState> {
    fn from_ref(state: &RouterState) -> Self {
        Arc::clone(&state.sockets)
    }
}

/// Puts the middleware around `routes`, and `state` into them. From the outside in: observation, the development
/// check of Host and Origin, CORS.
pub(crate) fn with_middleware(routes: Router<RouterState>, state: HttpState) -> Router {
    metrics::recorder();
    let origins = cors::Origins::new(&state.settings.allowed_origins, state.development, state.origin_policy.clone());
    let origins = Arc::new(origins);
    let sockets = SocketState::new(
        state.engine.clone(),
        Arc::new(state.authenticator.clone()),
        Arc::clone(&state.settings),
        [state.shutdown.drain.clone(), state.shutdown.now.clone()],
        state.shutdown.tasks.clone(),
    );
    let routes = routes.layer(origins.layer());
    let routes = if state.development {
        routes.layer(middleware::from_fn_with_state(origins, cors::require_local))
    } else {
        routes
    };
    routes
        .layer(middleware::from_fn(observe::observe))
        .with_state(RouterState { http: Arc::new(state), sockets: Arc::new(sockets) })
}
