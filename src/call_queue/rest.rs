//! The façade for older clients: `POST /api/calls/initiate` and `GET /api/calls/queue/status`. They act for the user that
//! the credential names.
//!
//! A full house is no error: 202 says that the call waits, and where. 429 means that too many requests wait to be decided.

use std::sync::Arc;

use axum::{
    Extension, Router,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
    routing,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{CallQueue, Initiated, NewCall, QueueItem, Status, number};
use crate::platform::{
    auth::Principal,
    batch::Reading,
    error::{Code, Error, Result},
    http::{
        HttpState, RouterState, endpoints,
        rest::{self, RestRequest, json as respond},
        state::Gates,
    },
    input,
};

/// The routes, without a state.
pub(crate) fn routes(queue: CallQueue) -> Router<RouterState> {
    let only = |route: routing::MethodRouter<RouterState>| route.fallback(endpoints::wrong_method);
    Router::new()
        .route("/api/calls/initiate", only(routing::post(post_initiate)))
        .route("/api/calls/queue/status", only(routing::get(get_status)))
        .layer(Extension(queue))
}

/// A body of `POST /api/calls/initiate`. Names that are not known are ignored.
#[derive(Debug, Deserialize)]
struct InitiateBody {
    #[serde(rename = "agentId")]
    agent_id: Option<Value>,
    #[serde(rename = "contactId")]
    contact_id: Option<Value>,
    #[serde(rename = "phoneNumber")]
    phone_number: Option<Value>,
    contact_name: Option<Value>,
}

#[derive(Debug, Serialize)]
struct NextCall {
    id: Uuid,
    phone_number: Option<String>,
    contact_name: Option<String>,
    position: Option<i64>,
    queued_at: String,
}

/// An id or a text: older clients send ids as numbers too.
fn text(field: &str, value: Option<Value>) -> Result<Option<String>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => input::name(field, &text).map(Some),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(Error::invalid(field, "must be a text")),
    }
}

fn new_call(principal: &Principal, body: &[u8]) -> Result<NewCall> {
    let malformed = |_| Error::new(Code::BadUserInput, "The body must be a JSON object");
    let body: InitiateBody = serde_json::from_slice(body).map_err(malformed)?;
    let required = |message: &str| Error::new(Code::BadUserInput, message);
    let agent_id = text("agentId", body.agent_id)?.ok_or_else(|| required("Agent ID is required"))?;
    let contact_id = text("contactId", body.contact_id)?;
    let phone_number = text("phoneNumber", body.phone_number)?;
    if contact_id.is_none() && phone_number.is_none() {
        return Err(required("Either phone number or contact ID is required"));
    }
    let phone_number = phone_number.map(|text| number::normalise("phoneNumber", &text)).transpose()?;
    let contact_name = text("contact_name", body.contact_name)?;
    let user_id = input::name("sub", &principal.subject)?;
    Ok(NewCall { user_id, agent_id, phone_number, contact_id, contact_name, user_data: None })
}

async fn initiate(queue: &CallQueue, request: &RestRequest) -> Result<Initiated> {
    request.principal.require_company()?;
    let new = new_call(&request.principal, &request.body)?;
    queue.initiate(&request.principal, new, request.idempotency_key.as_deref()).await
}

async fn post_initiate(
    State(state): State<Arc<HttpState>>,
    State(gates): State<Arc<Gates>>,
    Extension(queue): Extension<CallQueue>,
    request: Request,
) -> Response {
    let request = match rest::receive(&state, &gates, request).await {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    match Box::pin(initiate(&queue, &request)).await {
        Ok(initiated) => initiated_response(&initiated),
        Err(error) if error.code() == Code::IdempotencyMismatch => rest::refused(StatusCode::CONFLICT, error.message()),
        Err(error) => rest::failed(&error),
    }
}

fn initiated_response(Initiated { reason, call, item, total_in_queue }: &Initiated) -> Response {
    let Some(item) = item else {
        let recipient = call.phone_number.as_ref().or(call.contact_id.as_ref());
        let status = call.status.as_str().to_ascii_lowercase();
        let call = json!({
            "id": call.id, "execution_id": call.call_control_id, "status": status, "recipient": recipient,
        });
        return respond(StatusCode::CREATED, &json!({ "success": true, "call": call }));
    };
    let body = json!({
        "message": "Call queued successfully",
        "reason": reason,
        "queue": {
            "id": item.id,
            "position": item.position_in_type,
            "total_in_queue": total_in_queue,
            "estimated_wait": item.wait().map(|wait| minutes(wait.p50)),
        },
    });
    respond(StatusCode::ACCEPTED, &body)
}

/// Whole minutes, rounded up.
#[expect(clippy::cast_possible_truncation, reason = "the conversion from f64 saturates")]
fn minutes(seconds: f64) -> i64 {
    (seconds / 60.0).ceil() as i64
}

async fn get_status(
    State(state): State<Arc<HttpState>>,
    State(gates): State<Arc<Gates>>,
    Extension(queue): Extension<CallQueue>,
    request: Request,
) -> Response {
    let request = match rest::receive(&state, &gates, request).await {
        Ok(request) => request,
        Err(refused) => return refused,
    };
    match Box::pin(status(&queue, &request.principal)).await {
        Ok((status, next)) => status_response(&status, next.as_deref()),
        Err(error) => rest::failed(&error),
    }
}

async fn status(queue: &CallQueue, principal: &Arc<Principal>) -> Result<(Status, Option<Arc<QueueItem>>)> {
    let status = queue.status(&Reading::by(principal), principal, &principal.subject).await?;
    let next = match status.next_direct {
        Some(id) => queue.item(principal, id).await?,
        None => None,
    };
    Ok((status, next))
}

fn status_response(status: &Status, next: Option<&QueueItem>) -> Response {
    use time::format_description::well_known::Rfc3339;
    let next_call = next.map(|item| NextCall {
        id: item.id,
        phone_number: item.phone_number.clone(),
        contact_name: item.contact_name.clone(),
        position: item.position_in_type,
        queued_at: item.queued_at.format(&Rfc3339).unwrap_or_default(),
    });
    let body = json!({
        "direct_calls": {
            "queued": status.queued_direct,
            "processing": status.active_direct,
            "total": status.queued_direct + status.active_direct,
            "next_call": next_call,
        },
        "campaign_calls": {
            "queued": status.queued_campaign,
            "processing": status.active_campaign,
            "total": status.queued_campaign + status.active_campaign,
        },
    });
    respond(StatusCode::OK, &body)
}
