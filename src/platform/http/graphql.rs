//! GraphQL over HTTP: `POST /graphql`, `GET /graphql?query=…`.
//!
//! ```text
//! Accept ─► Content-Type ─► body ─► parameters ─► who ─► prepare ─► may it run here? ─► execute ─► status, bytes
//!  406         415       413 408 400   400               200/400     401, 405, 400                 (answer.rs)
//! ```
//! A refused credential is 401 (503 when it could not be judged), unless every field of the document is open to all (`consumerLogin`): deployed widgets
//! keep an old token in the header while they log in again. So the credential is judged after the document was
//! read. A batch is prepared whole before any of it runs: one request in it that may not run with this credential
//! refuses all.
//!
//! When the client goes away the request is dropped at its next `await`; a transaction under way rolls back.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use axum::{
    extract::{Request, State},
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};

use super::{
    HttpState,
    answer::{self, Outcome},
    bearer, body,
    negotiation::{self, ResponseType},
    parameters::{self, Posted},
    remote,
};
use crate::platform::{
    auth::{Caller, ClientAddress},
    error::{Code, Error},
    graphql::{
        engine::{GraphqlRequest, Prepared},
        error_response::Refusal,
    },
};

/// What one may do about a subscription that was sent here.
const SUBSCRIPTIONS: &str =
    "subscriptions run over WebSocket: connect to /graphql with the subprotocol graphql-transport-ws";

/// `POST /graphql`.
pub(crate) async fn post(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Some(kind) = negotiation::response_type(&parts.headers) else { return not_acceptable() };
    if let Err(error) = negotiation::check_content_type(&parts.headers) {
        let mut response = answer::denied(kind, StatusCode::UNSUPPORTED_MEDIA_TYPE, error);
        response.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        return response;
    }
    let settings = &state.settings;
    let bytes = match body::read(&parts.headers, body, settings.body_limit, settings.read_timeout).await {
        Ok(bytes) => bytes,
        Err((status, error)) => return answer::denied(kind, status, error),
    };
    let posted = match parameters::posted(&bytes, settings.batch_limit) {
        Ok(posted) => posted,
        Err(error) => return answer::denied(kind, error.code().status(), error),
    };
    drop(bytes);
    let from = Sender {
        caller: bearer::caller(&state.authenticator, &parts.headers).await,
        address: remote::address(&parts.extensions, &parts.headers, &settings.trusted_proxies),
    };
    match posted {
        Posted::One(request) => answer::single(kind, &run(&state, request, &from, &Method::POST).await),
        Posted::Batch(requests) => batch(&state, kind, requests, &from).await,
    }
}

/// `GET /graphql`, for queries; HEAD comes here too.
pub(super) async fn get(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    let Some(kind) = negotiation::response_type(request.headers()) else { return not_acceptable() };
    let queried = match parameters::queried(request.uri().query().unwrap_or_default()) {
        Ok(queried) => queried,
        Err(error) => return answer::denied(kind, StatusCode::BAD_REQUEST, error),
    };
    let from = Sender {
        caller: bearer::caller(&state.authenticator, request.headers()).await,
        address: remote::address(request.extensions(), request.headers(), &state.settings.trusted_proxies),
    };
    let outcome = run(&state, queried, &from, &Method::GET).await;
    let mut response = answer::single(kind, &outcome);
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// Who sent a request, and from where.
struct Sender {
    caller: Caller,
    address: Option<ClientAddress>,
}

async fn run(state: &HttpState, request: GraphqlRequest, from: &Sender, method: &Method) -> Outcome {
    match admit(state.engine.prepare(request), &from.caller, method) {
        Ok(prepared) => Outcome::Executed(state.engine.execute(prepared.from(from.address), &from.caller).await),
        Err(outcome) => *outcome,
    }
}

async fn batch(state: &HttpState, kind: ResponseType, requests: Vec<GraphqlRequest>, from: &Sender) -> Response {
    let requests =
        requests.into_iter().map(|request| admit(state.engine.prepare(request), &from.caller, &Method::POST));
    let admitted: Vec<_> = requests.collect();
    let no_caller = [StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE];
    let unproved = |outcome: &Outcome| matches!(outcome, Outcome::Denied(status, _) if no_caller.contains(status));
    if let Some(outcome) = admitted.iter().filter_map(|one| one.as_ref().err()).find(|outcome| unproved(outcome)) {
        return answer::single(kind, outcome);
    }
    let mut outcomes = Vec::with_capacity(admitted.len());
    for one in admitted {
        outcomes.push(match one {
            Ok(prepared) => Outcome::Executed(state.engine.execute(prepared.from(from.address), &from.caller).await),
            Err(outcome) => *outcome,
        });
    }
    answer::batch(kind, &outcomes)
}

/// Whether a prepared request may run for this caller by this method.
fn admit(prepared: Result<Prepared, Refusal>, caller: &Caller, method: &Method) -> Result<Prepared, Box<Outcome>> {
    let open = prepared.as_ref().is_ok_and(|prepared| prepared.open);
    if let (Caller::Refused(_) | Caller::Unavailable(_), false) = (caller, open)
        && let Err(error) = caller.principal()
    {
        error.log("http.credential");
        return Err(Box::new(Outcome::Denied(error.code().status(), error)));
    }
    let prepared = prepared.map_err(|refusal| Box::new(Outcome::Refused(refusal)))?;
    let posted = *method == Method::POST;
    match prepared.operation {
        OperationType::Query => Ok(prepared),
        OperationType::Mutation if posted => Ok(prepared),
        OperationType::Mutation => {
            let error = Error::new(Code::BadUserInput, "mutations are sent by POST");
            Err(Box::new(Outcome::Denied(StatusCode::METHOD_NOT_ALLOWED, error)))
        }
        OperationType::Subscription => {
            let status = if posted { StatusCode::BAD_REQUEST } else { StatusCode::METHOD_NOT_ALLOWED };
            Err(Box::new(Outcome::Denied(status, Error::new(Code::BadUserInput, SUBSCRIPTIONS))))
        }
    }
}

fn not_acceptable() -> Response {
    let error = Error::new(
        Code::BadUserInput,
        "Accept: this endpoint answers application/graphql-response+json or application/json",
    );
    answer::denied(ResponseType::Json, StatusCode::NOT_ACCEPTABLE, error)
}
