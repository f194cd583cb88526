//! The call queue, through the public API of real servers.

mod admission;
mod ancestors;
mod campaigns;
mod leases;
mod limits;
mod place;
mod plans;
mod races;
mod rest;
mod samples;
mod sql;
mod streams;
mod together;
mod undispatched;

use serde_json::{Value, json};

use crate::support::client::Client;

const INITIATE: &str = "mutation($input: InitiateCallInput!) { initiateCall(input: $input) { admission reason totalInQueue
    call { id status callType userId phoneNumber contactId attempt version leaseExpiresAt queueItem { id } }
    queueItem { id callId status position positionInType estimatedWaitSeconds priority version call { id status version } } } }";
const ITEM: &str = "query($id: UUID!) { callQueueItem(id: $id) { id callId status position positionInType version
    call { id status endReason version } } }";
const CANCEL: &str = "mutation($id: UUID!) { cancelQueuedCall(input: { queueItemId: $id }) { outcome
    queueItem { id status position call { status endReason version } } } }";
const LIMIT: &str = "mutation($input: SetCallConcurrencyInput!) { setCallConcurrency(input: $input) { concurrency {
    limit active direct campaign available systemLimit systemActive } } }";
const CONCURRENCY: &str = "query($user: ID!) { callConcurrency(userId: $user) {
    limit active direct campaign available systemLimit systemActive } }";
const STATUS: &str = "query($user: ID!) { callQueueStatus(userId: $user) { averageWaitSeconds
    directCalls { queued processing total nextCall { id position } } campaignCalls { queued processing total } } }";
const REPORT: &str = "mutation($input: UpdateCallStatusInput!) { updateCallStatus(input: $input) { outcome call {
    id status endReason leaseExpiresAt } } }";
const RENEW: &str = "mutation($ids: [UUID!]!) { renewCalls(input: { callIds: $ids }) { renewed ended } }";
const CALL: &str = "query($id: UUID!) { call(id: $id) { id status endReason attempt version leaseExpiresAt queueItem { id status } } }";
const BEGIN: &str =
    "mutation($input: BeginCallOperationInput!) { beginCallOperation(input: $input) { outcome operation {
    id fencingToken } } }";
const COMPLETE: &str =
    "mutation($input: CompleteCallOperationInput!) { completeCallOperation(input: $input) { completed
    callActive } }";
const HANG_UP: &str = "mutation($id: UUID!) { hangUpCall(input: { callId: $id, reason: \"test\" }) { outcome call {
    id status endReason } } }";
const DISPATCHED: &str = "subscription($after: Cursor) { callDispatched(after: $after) { operation cursor resync
    record { id status userId version } } }";
const HANG_UPS: &str = "subscription { callHangUps { operation record { id status pendingHangUp } } }";

/// A direct call of a user.
fn direct(user: &str) -> Value {
    json!({ "userId": user, "agentId": "agent", "phoneNumber": "+1 415 555 2671", "contactName": "Ada" })
}

async fn initiate(client: &Client, token: &str, input: Value) -> Value {
    client.data(token, INITIATE, json!({ "input": input })).await
}

/// The id of the call that an answer of `initiateCall` has.
fn call_of(initiated: &Value) -> String {
    initiated["call"]["id"].as_str().unwrap().to_owned()
}

/// The id of its item.
fn item_of(initiated: &Value) -> String {
    initiated["queueItem"]["id"].as_str().unwrap().to_owned()
}

async fn item(client: &Client, token: &str, id: &str) -> Value {
    client.data(token, ITEM, json!({ "id": id })).await
}

async fn call(client: &Client, token: &str, id: &str) -> Value {
    client.data(token, CALL, json!({ "id": id })).await
}

/// Reports the end of a call.
async fn end(client: &Client, token: &str, id: &str) -> Value {
    let input = json!({ "callId": id, "status": "ENDED", "endReason": "COMPLETED" });
    client.data(token, REPORT, json!({ "input": input })).await
}

/// Sets the company's limit, and that of a user.
async fn limit(client: &Client, token: &str, user: &str, of_user: i32, of_system: i32) -> Value {
    let input = json!({ "userId": user, "limit": of_user, "systemLimit": of_system });
    client.data(token, LIMIT, json!({ "input": input })).await["concurrency"].take()
}
