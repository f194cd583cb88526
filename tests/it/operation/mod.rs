//! The coordination of opposite calls, through the public API of real servers.

mod ancestors;
mod bounds;
mod histories;
mod line;
mod plans;
mod premises;
mod stream;
mod verbs;
mod waiters;

use serde_json::{Value, json};
use switchboard::platform::auth::token::Claims;
use switchboard::{demo, platform::auth::Role};

use crate::support::{
    app::token,
    client::{Answer, Client, Subscription},
};

const COORDINATE: &str = "mutation($input: CoordinateChatCallInput!) { coordinateChatCall(input: $input) {
    grant { callType requestId chatId fencingToken leaseExpiresAt heldForMs } } }";
const COMPLETE: &str = "mutation($input: CompleteChatCallInput!) { completeChatCall(input: $input) { completed } }";
const EVENTS: &str = "subscription($chat: ID!, $after: Cursor) { coordinationEvents(chatId: $chat, after: $after) {
    operation resync event requestId chatId holdReason oppositeCallType elapsedTimeInMilliseconds version occurredAt
    cursor } }";

/// A token of the demo company's server with this name.
fn server(name: &str) -> String {
    token(&Claims { role: Role::Service, ..Claims::service(demo::COMPANY_ID, name) })
}

/// The input of `coordinateChatCall`.
fn input(call_type: &str, request: &str, chat: &str) -> Value {
    json!({ "callType": call_type, "requestId": request, "chatId": chat })
}

async fn coordinate(client: &Client, token: &str, input: Value) -> Answer {
    client.run(token, COORDINATE, json!({ "input": input })).await
}

/// Coordinates what must be granted.
async fn grant(client: &Client, token: &str, input: Value) -> Value {
    client.data(token, COORDINATE, json!({ "input": input })).await["grant"].take()
}

/// The input of `completeChatCall` for a grant.
fn completion(grant: &Value, succeeded: bool) -> Value {
    json!({ "callType": grant["callType"], "requestId": grant["requestId"], "chatId": grant["chatId"],
        "fencingToken": grant["fencingToken"], "succeeded": succeeded })
}

async fn complete(client: &Client, token: &str, grant: &Value) -> bool {
    complete_with(client, token, completion(grant, true)).await
}

async fn complete_with(client: &Client, token: &str, input: Value) -> bool {
    client.data(token, COMPLETE, json!({ "input": input })).await["completed"].as_bool().unwrap()
}

async fn watch(client: &Client, token: &str, chat: &str) -> Subscription {
    client.subscribe(token, EVENTS, json!({ "chat": chat })).await
}

/// The code and the message of a refusal.
fn refusal(answer: &Answer) -> (&str, &str) {
    (answer.code(), answer["errors"][0]["message"].as_str().unwrap_or_default())
}

/// Waits until this many calls wait on `chat`, by the stream of its events.
async fn until_waiting(stream: &mut Subscription, count: usize) {
    for _ in 0..count {
        stream.until(|event| event["event"].as_str().is_some_and(|event| event.ends_with("_Start"))).await;
    }
}
