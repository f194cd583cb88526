//! The HTTP routes of the server: one list, path by path.
//!
//! Composition only. The handlers, and the middleware around all of them, live in [`http`].

use axum::{Router, routing};

use crate::platform::http::{self, HttpState, RouterState, console, endpoints, graphql, health, metrics};

/// The routes of each listener.
pub struct Routers {
    /// What clients use; for [`http::serve`].
    pub public: Router,
    /// Metrics and health, if they have a listener of their own.
    pub internal: Option<Router>,
}

/// The routers of a server whose concepts have no routes of their own; see `routers_with`.
pub fn routers(state: HttpState) -> Routers {
    routers_with(state, Router::new())
}

/// The routers of this server; `rest` are the routes of concepts beside GraphQL. A method that a path does not take gets 405, an unknown path 404, both as a GraphQL error
/// in JSON.
pub(crate) fn routers_with(state: HttpState, rest: Router<RouterState>) -> Routers {
    let apart = state.settings.metrics_listen.is_some();
    let state = RouterState::new(state);
    let only = |route: routing::MethodRouter<RouterState>| route.fallback(endpoints::wrong_method);
    let health = Router::new()
        .route("/live", only(routing::get(health::live)))
        .route("/ready", only(routing::get(health::ready)))
        .fallback(endpoints::unknown_path);
    let metrics = Router::new().route("/metrics", only(routing::get(metrics::metrics)));
    let internal = apart.then(|| http::observed(health.clone().merge(metrics.clone()), state.clone()));
    let mut routes = health
        .route("/", only(routing::get(endpoints::get_root)))
        .route("/graphql", only(routing::get(endpoints::get_graphql).post(graphql::post)))
        .route("/graphql/ws", only(routing::get(endpoints::get_socket)))
        .route("/assets/{name}", only(routing::get(console::asset)))
        .route("/api/time", only(routing::get(endpoints::get_time)));
    routes = routes.merge(rest);
    if !apart {
        routes = routes.merge(metrics);
    }
    Routers { public: http::with_middleware(routes, state), internal }
}
