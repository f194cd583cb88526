//! The state that handlers share.

use std::sync::Arc;

use axum::extract::FromRef;

use super::{
    cors::{OriginPolicy, Origins},
    health::Readiness,
    rate_limits::RateLimits,
    server::Shutdown,
    websocket::SocketState,
};
use crate::platform::{
    auth::{Authenticator, VisitorKeys},
    clock::Clock,
    config::HttpSettings,
    graphql::engine::Engine,
};

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
    /// Knows the visitors behind the keys of browsers; `None`: keys mean nothing.
    pub visitors: Option<Arc<dyn VisitorKeys>>,
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
    gates: Arc<Gates>,
}

/// What decides whether a request of a known caller may run, for all transports.
pub(crate) struct Gates {
    /// Which web pages may act for whom.
    pub(super) origins: Arc<Origins>,
    /// How often a client may do what costs much.
    pub(super) rates: Arc<RateLimits>,
}

impl RouterState {
    pub(crate) fn new(http: HttpState) -> Self {
        let origins = Origins::new(&http.settings.allowed_origins, http.development, http.origin_policy.clone());
        let gates = Gates { origins: Arc::new(origins), rates: Arc::new(RateLimits::new(&http.settings.rates)) };
        let sockets = SocketState::new(
            http.engine.clone(),
            Arc::new(http.authenticator.clone()),
            Arc::clone(&http.settings),
            [http.shutdown.drain.clone(), http.shutdown.now.clone()],
            http.shutdown.tasks.clone(),
        );
        let sockets = sockets.with_gates(&gates).with_visitors(http.visitors.clone());
        Self { http: Arc::new(http), sockets: Arc::new(sockets), gates: Arc::new(gates) }
    }

    pub(super) fn origins(&self) -> &Arc<Origins> {
        &self.gates.origins
    }

    pub(crate) fn http(&self) -> &HttpState {
        &self.http
    }
}

impl FromRef<RouterState> for Arc<Gates> {
    fn from_ref(state: &RouterState) -> Self {
        Arc::clone(&state.gates)
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
