//! The transports: routes, GraphQL over HTTP, GraphQL over WebSocket, health, metrics.
//!
//! ```text
//! server.rs   accept, time limits, shutdown
//!   observe.rs   request id, span, metrics, panics
//!     cors.rs      which web pages may call; the fence of development mode
//!       /graphql        POST, GET   graphql.rs ── negotiation, body, parameters, bearer ──► engine ──► answer.rs
//!                       Upgrade     websocket/
//!                       browser     console.rs, or page.rs where there is no console
//!       /graphql/ws     Upgrade     websocket/
//!       /assets/…       what the console loads
//!       /live /ready    health.rs        /metrics   metrics.rs        /api/time   the server's clock
//! ```
//! What holds for every answer: it has an `X-Request-Id`, it may not be cached (the console's files may), and if it is an error it is JSON of
//! the shape `{"errors":[{"message","extensions":{"code"}}]}`, also for an unknown path or a wrong method. Nothing
//! here decides anything about chats or callers' rights: transports read a request, ask `auth` who sent it, hand it
//! to the engine, and write down what came back.

pub mod answer;
pub mod bearer;
mod body;
mod console;
pub mod cors;
mod graphql;
pub mod health;
pub mod metrics;
pub mod negotiation;
mod observe;
mod page;
pub mod parameters;
pub mod remote;
pub mod server;
pub mod websocket;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{FromRef, FromRequestParts, Request, State, WebSocketUpgrade},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing,
};
use time::format_description::well_known::Rfc3339;

use crate::{
    chat::website::WebsiteOrigins,
    platform::{
        auth::Authenticator,
        clock::Clock,
        config::HttpSettings,
        error::{Code, Error},
        graphql::engine::Engine,
    },
};

pub use self::{
    health::Readiness,
    server::{Shutdown, serve},
    websocket::{Peer, SocketState},
};

/// Paths as they appear in metrics; all others count as `unknown`.
const ROUTES: [&str; 8] =
    ["/", "/graphql", "/graphql/ws", "/assets/{name}", "/api/time", "/live", "/ready", "/metrics"];

/// What the routes need.
pub struct HttpState {
    /// Executes GraphQL.
    pub engine: Engine,
    /// Checks credentials.
    pub authenticator: Authenticator,
    /// Limits and times.
    pub settings: Arc<HttpSettings>,
    /// What `/ready` asks.
    pub readiness: Readiness,
    /// The two stages of stopping; a WebSocket watches both and runs as one of its tasks.
    pub shutdown: Shutdown,
    /// This server's clock.
    pub clock: Clock,
    /// Development mode: loopback pages may call, all others may not.
    pub development: bool,
}

/// The state of the router: each handler takes the part that it needs. Cloned for each request at every layer.
#[derive(Clone)]
struct RouterState {
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

/// All routes.
pub fn router(state: HttpState) -> Router {
    metrics::recorder();
    let websites = WebsiteOrigins::new(state.readiness.database.clone());
    let origins = cors::Origins::new(&state.settings.allowed_origins, state.development).and_websites(websites);
    let origins = Arc::new(origins);
    let sockets = SocketState::new(
        state.engine.clone(),
        Arc::new(state.authenticator.clone()),
        Arc::clone(&state.settings),
        [state.shutdown.drain.clone(), state.shutdown.now.clone()],
        state.shutdown.tasks.clone(),
    );
    let development = state.development;
    let only = |route: routing::MethodRouter<RouterState>| route.fallback(wrong_method);
    let routes = Router::new()
        .route("/", only(routing::get(page::root)))
        .route("/graphql", only(routing::get(get_graphql).post(graphql::post)))
        .route("/graphql/ws", only(routing::get(get_socket)))
        .route("/assets/{name}", only(routing::get(console::asset)))
        .route("/api/time", only(routing::get(api_time)))
        .route("/live", only(routing::get(health::live)))
        .route("/ready", only(routing::get(health::ready)))
        .route("/metrics", only(routing::get(metrics::metrics)))
        .fallback(unknown_path)
        .layer(origins.layer());
    let fenced = if development { routes.layer(middleware::from_fn_with_state(origins, cors::fence)) } else { routes };
    fenced
        .layer(middleware::from_fn(observe::observe))
        .with_state(RouterState { http: Arc::new(state), sockets: Arc::new(sockets) })
}

/// `GET /graphql` serves three kinds of clients: GraphQL ones, sockets, and persons.
async fn get_graphql(state: State<Arc<HttpState>>, sockets: State<Arc<SocketState>>, request: Request) -> Response {
    if negotiation::has_token(request.headers(), header::UPGRADE, "websocket") {
        return get_socket(sockets, request).await;
    }
    if request.uri().query().is_none() && negotiation::prefers_page(request.headers()) {
        return console::page(request.headers());
    }
    graphql::get(state, request).await
}

/// `GET /graphql/ws`, and `/graphql` for who asks for a WebSocket.
async fn get_socket(sockets: State<Arc<SocketState>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => websocket::upgrade(sockets, Peer(parts.extensions), parts.headers, upgrade).await,
        Err(rejection) => {
            let error = Error::new(Code::BadUserInput, format!("this needs a WebSocket: {}", rejection.body_text()));
            answer::denied(negotiation::ResponseType::Json, rejection.status(), error)
        }
    }
}

/// `GET /api/time`: a JSON string, RFC 3339 in UTC, to the millisecond (all that JavaScript keeps).
async fn api_time(State(state): State<Arc<HttpState>>) -> Response {
    let now = state.clock.now();
    let now = now.replace_millisecond(now.millisecond()).unwrap_or(now);
    match now.format(&Rfc3339) {
        Ok(text) => Json(text).into_response(),
        Err(error) => {
            let error = Error::internal(error);
            error.log("http.time");
            answer::denied(negotiation::ResponseType::Json, StatusCode::INTERNAL_SERVER_ERROR, error)
        }
    }
}

async fn unknown_path() -> Response {
    let error = Error::new(Code::NotFound, "no such path; GraphQL is at /graphql");
    answer::denied(negotiation::ResponseType::Json, StatusCode::NOT_FOUND, error)
}

/// axum adds `Allow`.
async fn wrong_method() -> Response {
    let error = Error::new(Code::BadUserInput, "this path does not take that method; see the Allow header");
    answer::denied(negotiation::ResponseType::Json, StatusCode::METHOD_NOT_ALLOWED, error)
}
