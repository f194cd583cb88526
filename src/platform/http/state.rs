//! The state that handlers share.

use std::sync::Arc;

use axum::extract::FromRef;

use super::{cors::OriginPolicy, health::Readiness, server::Shutdown, websocket::SocketState};
use crate::platform::{auth::Authenticator, clock::Clock, config::HttpSettings, graphql::engine::Engine};

/// What the routes share.
pub struct HttpState {
    /// Executes GraphQL.
    pub engine: Engine,
    /// Finds the caller of a request from its credential.
    pub authenticator: Authenticator,
    /// Limits and timeouts of requests and sockets.
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

impl RouterState {
    pub(super) fn new(http: HttpState, sockets: SocketState) -> Self {
        Self { http: Arc::new(http), sockets: Arc::new(sockets) }
    }
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
