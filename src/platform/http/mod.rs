//! The transports: GraphQL over HTTP, GraphQL over WebSocket, health, metrics, and the pages for a browser.
//!
//! ```text
//! server.rs   accept loop, time limits, shutdown; places.rs: how many connections; unsent.rs: responses not taken yet
//!   observe.rs   request id, span, metrics, panics
//!     cors.rs      which web pages may call; in development also a check of Host and Origin
//!       routes, listed in src/router.rs
//!         graphql.rs    POST, GET: negotiation ─► body ─► parameters ─► bearer ─► rate_limits ─► engine ─► response.rs
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

mod bearer;
mod body;
mod client_address;
pub(crate) mod console;
mod cors;
mod descriptors;
pub(crate) mod endpoints;
pub(crate) mod graphql;
pub(crate) mod health;
pub(crate) mod metrics;
mod negotiation;
mod observe;
mod page;
mod parameters;
mod places;
mod rate_limits;
mod received;
mod response;
pub(crate) mod rest;
mod server;
pub(crate) mod state;
mod unsent;
pub mod websocket;

use std::sync::Arc;

use axum::{Router, middleware};

pub(crate) use self::state::RouterState;
pub use self::{
    cors::OriginPolicy,
    descriptors::fit as fit_descriptors,
    health::Readiness,
    server::{Shutdown, serve},
    state::HttpState,
    websocket::{Peer, SocketState},
};

/// Puts the middleware around `routes`, and `state` into them. From the outside in: observation, the development
/// check of Host and Origin, CORS.
pub(crate) fn with_middleware(routes: Router<RouterState>, state: RouterState) -> Router {
    metrics::recorder();
    let origins = Arc::clone(state.origins());
    let routes = routes.layer(origins.layer());
    let routes = if state.http().development {
        routes.layer(middleware::from_fn_with_state(origins, cors::require_local))
    } else {
        routes
    };
    routes.layer(middleware::from_fn(observe::observe)).with_state(state)
}

/// As [`with_middleware`], for routes that no web page calls.
pub(crate) fn observed(routes: Router<RouterState>, state: RouterState) -> Router {
    metrics::recorder();
    routes.layer(middleware::from_fn(observe::observe)).with_state(state)
}
