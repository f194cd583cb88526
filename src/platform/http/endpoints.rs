//! Endpoints that choose between transports, and those too small for a file of their own.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, Request, State, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use time::format_description::well_known::Rfc3339;

use super::{
    console, graphql,
    negotiation::{self, ResponseType},
    page, response,
    state::{Gates, HttpState},
    websocket::{self, Peer, SocketState},
};
use crate::platform::error::{Code, Error};

/// `GET /`: the console for a browser, an example request in plain text for every other client.
pub(crate) async fn get_root(headers: HeaderMap) -> Response {
    if negotiation::prefers_page(&headers) { console::page(&headers) } else { page::example_text(&headers) }
}

/// `GET /graphql`: a WebSocket upgrade, a page for a browser that navigates here, or a query.
pub(crate) async fn get_graphql(
    state: State<Arc<HttpState>>,
    gates: State<Arc<Gates>>,
    sockets: State<Arc<SocketState>>,
    request: Request,
) -> Response {
    if negotiation::has_token(request.headers(), header::UPGRADE, "websocket") {
        return get_socket(sockets, request).await;
    }
    if request.uri().query().is_none() && negotiation::prefers_page(request.headers()) {
        return console::page(request.headers());
    }
    graphql::get(state, gates, request).await
}

/// `GET /graphql/ws`: a WebSocket upgrade and nothing else.
pub(crate) async fn get_socket(sockets: State<Arc<SocketState>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => websocket::upgrade(sockets, Peer(parts.extensions), parts.uri, parts.headers, upgrade).await,
        Err(rejection) => {
            let error = Error::new(Code::BadUserInput, format!("this needs a WebSocket: {}", rejection.body_text()));
            response::error(ResponseType::Json, rejection.status(), error)
        }
    }
}

/// `GET /api/time`: the server's clock as a JSON string, RFC 3339 in UTC, to the millisecond (JavaScript's precision).
pub(crate) async fn get_time(State(state): State<Arc<HttpState>>) -> Response {
    let now = state.clock.now();
    let now = now.replace_millisecond(now.millisecond()).unwrap_or(now);
    match now.format(&Rfc3339) {
        Ok(text) => Json(text).into_response(),
        Err(error) => {
            let error = Error::internal(error);
            error.log("http.time");
            response::error(ResponseType::Json, StatusCode::INTERNAL_SERVER_ERROR, error)
        }
    }
}

/// 404 for every path that has no route.
pub(crate) async fn unknown_path() -> Response {
    response::not_found()
}

/// 405 for a method that the path does not take; axum adds the `Allow` header.
pub(crate) async fn wrong_method() -> Response {
    let error = Error::new(Code::BadUserInput, "this path does not take that method; see the Allow header");
    response::error(ResponseType::Json, StatusCode::METHOD_NOT_ALLOWED, error)
}
