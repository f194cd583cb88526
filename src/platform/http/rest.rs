//! What a concept's own routes beside GraphQL need: who calls, and the body.

use std::{fmt, sync::Arc};

use axum::{
    Json,
    extract::Request,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;

use super::{
    bearer, body,
    cors::Page,
    places::Place,
    response,
    state::{Gates, HttpState},
};
use crate::platform::{
    auth::{Caller, Principal},
    error::Error,
};

/// A request whose caller is known.
pub(crate) struct RestRequest {
    /// The caller, whose credential is valid.
    pub(crate) principal: Arc<Principal>,
    /// The header `Idempotency-Key`.
    pub(crate) idempotency_key: Option<String>,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

/// Finds the caller of a request, checks that its web page may act for it, and reads its body.
///
/// # Errors
/// The response that refuses it.
pub(crate) async fn receive(state: &HttpState, gates: &Gates, request: Request) -> Result<RestRequest, Response> {
    let (parts, content) = request.into_parts();
    let caller = bearer::caller(&state.authenticator, &parts.headers).await;
    if let Some(place) = parts.extensions.get::<Arc<Place>>() {
        let has_place = if let Caller::Known(_) = &caller { place.prove() } else { place.is_open() };
        if !has_place {
            return Err(response::full());
        }
    }
    if let Err(error) = gates.origins.admit(Page::of(&parts.headers).as_ref(), &caller).await {
        return Err(refused(error.code().status(), error.message()));
    }
    let principal = match caller.principal() {
        Ok(principal) => Arc::clone(principal),
        Err(error) => return Err(failed(&error)),
    };
    let settings = &state.settings;
    let body = body::read(&parts.headers, content, settings.body_limit, settings.read_timeout).await;
    let body = body.map_err(|(status, error)| refused(status, error.message()))?;
    let key = parts.headers.get("idempotency-key").map(|key| key.to_str().map(str::to_owned));
    let idempotency_key =
        key.transpose().map_err(|_| refused(StatusCode::BAD_REQUEST, "Idempotency-Key is not ASCII"))?;
    Ok(RestRequest { principal, idempotency_key, body })
}

/// A response with a JSON body.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    (status, Json(body)).into_response()
}

/// A response that refuses a request: `{"error": …}`.
pub(crate) fn refused(status: StatusCode, why: impl fmt::Display) -> Response {
    json(status, &serde_json::json!({ "error": why.to_string() }))
}

/// The response to a request that failed. Internal text is logged and not sent.
pub(crate) fn failed(error: &Error) -> Response {
    if error.is_logged() {
        error.log("http.rest");
    }
    refused(error.code().status(), error.message())
}
