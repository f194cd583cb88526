//! GraphQL over HTTP: `POST /graphql`, `GET /graphql?query=…`.
//!
//! ```text
//! Accept ─► Content-Type ─► body ─► parameters ─► caller ─► page ─► prepare ─► admit ─► rates ─► execute ─► response.rs
//!  406         415       413 408 400   400                   403   200/400  401, 405, 400  429
//! ```
//! A refused credential gets 401 (503 if it could not be checked), unless the operation is open (`consumerLogin`):
//! deployed widgets still send an old token while they log in again. So the credential is judged after the document is
//! prepared. All requests of a batch are prepared before any of them runs: if the credential does not suffice for one
//! of them, or if their costs together are over the limit for one, none runs. Their answers share one budget of bytes.
//!
//! When the client disconnects, the request is dropped at its next `await`, and an open transaction rolls back.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use axum::{
    extract::{Request, State},
    http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};

use super::{
    bearer, body, client_address,
    cors::Page,
    negotiation::{self, ResponseType},
    parameters::{self, RequestBody},
    places::Place,
    response::{self, Outcome},
    state::{Gates, HttpState},
};
use crate::platform::{
    auth::{Caller, ClientAddress, Visit, VisitorKey},
    error::{Code, Error, Result},
    graphql::{
        engine::{GraphqlRequest, Prepared},
        error_response::Refusal,
    },
};

/// Sent in response to a subscription.
const SUBSCRIPTIONS: &str =
    "subscriptions run over WebSocket: connect to /graphql with the subprotocol graphql-transport-ws";

/// `POST /graphql`.
pub(crate) async fn post(
    State(state): State<Arc<HttpState>>,
    State(gates): State<Arc<Gates>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Some(kind) = negotiation::response_type(&parts.headers) else { return not_acceptable() };
    if let Err(error) = negotiation::check_content_type(&parts.headers) {
        let mut response = response::error(kind, StatusCode::UNSUPPORTED_MEDIA_TYPE, error);
        response.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        return response;
    }
    let settings = &state.settings;
    let bytes = match body::read(&parts.headers, body, settings.body_limit, settings.read_timeout).await {
        Ok(bytes) => bytes,
        Err((status, error)) => return response::error(kind, status, error),
    };
    let requests = match parameters::from_body(&bytes, settings.batch_limit) {
        Ok(requests) => requests,
        Err(error) => return response::error(kind, error.code().status(), error),
    };
    drop(bytes);
    let to = Receiver { state: &state, gates: &gates };
    let from = match to.sender(kind, parts.uri.query(), &parts.extensions, &parts.headers).await {
        Ok(from) => from,
        Err(refused) => return refused,
    };
    match requests {
        RequestBody::Single(request) => {
            let outcome = to.run(request, &from, &Method::POST).await;
            response::single(kind, &outcome, state.engine.response_limit())
        }
        RequestBody::Batch(requests) => to.batch(kind, requests, &from).await,
    }
}

/// `GET /graphql` and `HEAD /graphql`, for queries.
pub(super) async fn get(
    State(state): State<Arc<HttpState>>,
    State(gates): State<Arc<Gates>>,
    request: Request,
) -> Response {
    let Some(kind) = negotiation::response_type(request.headers()) else { return not_acceptable() };
    let queried = match parameters::from_query_string(request.uri().query().unwrap_or_default()) {
        Ok(queried) => queried,
        Err(error) => return response::error(kind, StatusCode::BAD_REQUEST, error),
    };
    let to = Receiver { state: &state, gates: &gates };
    let from = match to.sender(kind, request.uri().query(), request.extensions(), request.headers()).await {
        Ok(from) => from,
        Err(refused) => return refused,
    };
    let outcome = to.run(queried, &from, &Method::GET).await;
    let mut response = response::single(kind, &outcome, state.engine.response_limit());
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

/// The sender of a request.
struct Sender {
    caller: Caller,
    address: Option<ClientAddress>,
    visit: Visit,
}

/// What a request passes through.
struct Receiver<'a> {
    state: &'a HttpState,
    gates: &'a Gates,
}

impl Receiver<'_> {
    /// The sender of a request, or the response that refuses it: to a web page that may not act for the caller, and on a
    /// connection without a place.
    async fn sender(
        &self,
        kind: ResponseType,
        query: Option<&str>,
        extensions: &Extensions,
        headers: &HeaderMap,
    ) -> Result<Sender, Response> {
        let refused = |error: Error| response::error(kind, error.code().status(), error);
        let key = VisitorKey::in_query(query).map_err(refused)?;
        let mut caller = bearer::caller(&self.state.authenticator, headers).await;
        if let (Some(key), Some(visitors)) = (key, &self.state.visitors) {
            caller = visitors.caller(key, caller).await;
        }
        if let Some(place) = extensions.get::<Arc<Place>>() {
            let has_place = if let Caller::Known(_) = &caller { place.prove() } else { place.is_open() };
            if !has_place {
                return Err(response::full());
            }
        }
        let page = Page::of(headers);
        self.gates.origins.admit(page.as_ref(), &caller).await.map_err(refused)?;
        let address = client_address::find(extensions, headers, &self.state.settings.trusted_proxies);
        let visit = Visit { page: page.map(|page| self.gates.origins.describe(&page)), key };
        Ok(Sender { caller, address, visit })
    }

    async fn run(&self, request: GraphqlRequest, from: &Sender, method: &Method) -> Outcome {
        match admit(self.state.engine.prepare(request), &from.caller, method) {
            Ok(prepared) => self.execute(prepared, from).await,
            Err(outcome) => *outcome,
        }
    }

    async fn execute(&self, prepared: Prepared, from: &Sender) -> Outcome {
        if let Err(error) = self.gates.rates.admit(&prepared, &from.caller, from.address) {
            return Outcome::TransportError(error.code().status(), error);
        }
        Outcome::Executed(
            self.state.engine.execute(prepared.from(from.address).visiting(from.visit.clone()), &from.caller).await,
        )
    }

    async fn batch(&self, kind: ResponseType, requests: Vec<GraphqlRequest>, from: &Sender) -> Response {
        let limit = self.state.engine.response_limit();
        let prepare = |request| admit(self.state.engine.prepare(request), &from.caller, &Method::POST);
        let admitted: Vec<_> = requests.into_iter().map(prepare).collect();
        let credential_errors = [StatusCode::UNAUTHORIZED, StatusCode::SERVICE_UNAVAILABLE];
        let is_credential_error = |outcome: &Outcome| matches!(outcome, Outcome::TransportError(status, _) if credential_errors.contains(status));
        let mut refused = admitted.iter().filter_map(|one| one.as_ref().err());
        if let Some(outcome) = refused.find(|outcome| is_credential_error(outcome)) {
            return response::single(kind, outcome, limit);
        }
        let costs = admitted.iter().filter_map(|one| one.as_ref().ok()).map(|prepared| prepared.cost);
        if let Err(refusal) = self.state.engine.check_batch(costs.fold(0, u64::saturating_add)) {
            return response::single(kind, &Outcome::Refused(refusal), limit);
        }
        let budget = self.state.engine.budget();
        let mut outcomes = Vec::with_capacity(admitted.len());
        for one in admitted {
            outcomes.push(match one {
                Ok(prepared) => self.execute(prepared.within(&budget), from).await,
                Err(outcome) => *outcome,
            });
        }
        response::batch(kind, &outcomes, limit)
    }
}

/// Checks that the caller's credential and the HTTP method allow the prepared request.
fn admit(prepared: Result<Prepared, Refusal>, caller: &Caller, method: &Method) -> Result<Prepared, Box<Outcome>> {
    let open = prepared.as_ref().is_ok_and(|prepared| prepared.open);
    if let (Caller::Refused(_) | Caller::Unavailable(_), false) = (caller, open)
        && let Err(error) = caller.principal()
    {
        error.log("http.credential");
        return Err(Box::new(Outcome::TransportError(error.code().status(), error)));
    }
    let prepared = prepared.map_err(|refusal| Box::new(Outcome::Refused(refusal)))?;
    let posted = *method == Method::POST;
    match prepared.operation {
        OperationType::Query => Ok(prepared),
        OperationType::Mutation if posted => Ok(prepared),
        OperationType::Mutation => {
            let error = Error::new(Code::BadUserInput, "mutations are sent by POST");
            Err(Box::new(Outcome::TransportError(StatusCode::METHOD_NOT_ALLOWED, error)))
        }
        OperationType::Subscription => {
            let status = if posted { StatusCode::BAD_REQUEST } else { StatusCode::METHOD_NOT_ALLOWED };
            Err(Box::new(Outcome::TransportError(status, Error::new(Code::BadUserInput, SUBSCRIPTIONS))))
        }
    }
}

fn not_acceptable() -> Response {
    let error = Error::new(
        Code::BadUserInput,
        "Accept: this endpoint answers application/graphql-response+json or application/json",
    );
    response::error(ResponseType::Json, StatusCode::NOT_ACCEPTABLE, error)
}
