//! The life of phone calls, through the public API of real servers.

mod ancestors;
mod finalize;
mod hang_up;
mod histories;
mod keys;
mod news;
mod operations;
mod order;
mod plans;
mod states;
mod streams;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::Client;

const REGISTER: &str = "mutation($input: RegisterCallInput!) { registerCall(input: $input) { call {
    id callControlId userId status inbound version } } }";
const REPORT: &str = "mutation($input: UpdateCallStatusInput!) { updateCallStatus(input: $input) { outcome call {
    id callControlId status endReason generation version startedAt answeredAt endedAt pendingHangUp } } }";
const HANG_UP: &str = "mutation($input: HangUpCallInput!) { hangUpCall(input: $input) { outcome call {
    id status endReason pendingHangUp generation version } } }";
const SCHEDULE: &str = "mutation($input: ScheduleHangUpInput!) { scheduleHangUp(input: $input) { hangUpAt call {
    status hangUpAt } } }";
const CALL: &str = "query($id: UUID, $name: String) { call(id: $id, callControlId: $name) {
    id status endReason pendingHangUp generation version hangUpAt } }";
const ACTIVE: &str = "query($name: String!) { checkCallActive(callControlId: $name) { active reason callId } }";
const CALL_STATUS: &str =
    "subscription($call: UUID, $status: CallStatus) { callStatus(callId: $call, status: $status) {
    operation resync cursor record { id status endReason pendingHangUp generation version } } }";
const HANG_UPS: &str = "subscription { callHangUps { operation record { id pendingHangUp } } }";

fn registration(name: &str) -> Value {
    json!({ "input": { "callControlId": name, "userId": "user", "agentId": "agent" } })
}

/// Registers a call of this name; its id.
async fn register(client: &Client, token: &str, name: &str) -> Uuid {
    let call = client.data(token, REGISTER, registration(name)).await;
    call["call"]["id"].as_str().unwrap().parse().unwrap()
}

/// News of a name.
async fn report(client: &Client, token: &str, name: &str, status: &str, more: Value) -> Value {
    let mut input = json!({ "callControlId": name, "status": status });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.data(token, REPORT, json!({ "input": input })).await
}

async fn hang_up(client: &Client, token: &str, name: &str) -> Value {
    client.data(token, HANG_UP, json!({ "input": { "callControlId": name, "reason": "test" } })).await
}

async fn activity(client: &Client, token: &str, name: &str) -> (bool, Value) {
    let activity = client.data(token, ACTIVE, json!({ "name": name })).await;
    (activity["active"].as_bool().unwrap(), activity["reason"].clone())
}
