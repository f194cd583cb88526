//! The HTTP routes of the server: one list, path by path.
//!
//! Composition only. The handlers, and the middleware around all of them, live in [`http`].

use axum::{Router, routing};

use crate::platform::http::{self, HttpState, RouterState, console, endpoints, graphql, health, metrics};

/// The router that [`http::serve`] serves. A method that a path does not take gets 405, an unknown path 404, both
/// as a GraphQL error in JSON.
pub fn router(state: HttpState) -> Router {
    let only = |route: routing::MethodRouter<RouterState>| route.fallback(endpoints::wrong_method);
    let routes = Router::new()
        .route("/", only(routing::get(endpoints::get_root)))
        .route("/graphql", only(routing::get(endpoints::get_graphql).post(graphql::post)))
        .route("/graphql/ws", only(routing::get(endpoints::get_socket)))
        .route("/assets/{name}", only(routing::get(console::asset)))
        .route("/api/time", only(routing::get(endpoints::get_time)))
        .route("/live", only(routing::get(health::live)))
        .route("/ready", only(routing::get(health::ready)))
        .route("/metrics", only(routing::get(metrics::metrics)))
        .fallback(endpoints::unknown_path);
    http::with_middleware(routes, state)
}
