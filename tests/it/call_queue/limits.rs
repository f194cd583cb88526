//! Limits of users and of the company.

use serde_json::{Value, json};

use super::{CONCURRENCY, LIMIT, call, call_of, direct, end, initiate, limit};
use crate::support::app::{TestApp, service};

const REGISTER: &str = "mutation($input: RegisterCallInput!) { registerCall(input: $input) { call { id status } } }";

#[tokio::test]
async fn a_lower_limit_ends_nothing_and_a_higher_one_dispatches_at_once() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(initiate(&node, &token, direct("user")).await);
    }
    let concurrency = limit(&node, &token, "user", 4, 10).await;
    assert_eq!((&concurrency["active"], &concurrency["available"]), (&json!(4), &json!(0)));
    assert_eq!(call(&node, &token, &call_of(&answers[3])).await["status"], "RESERVED");
    let concurrency = limit(&node, &token, "user", 2, 10).await;
    assert_eq!((&concurrency["limit"], &concurrency["active"]), (&json!(2), &json!(4)));
    for index in 0..2 {
        end(&node, &token, &call_of(&answers[index])).await;
        assert_eq!(call(&node, &token, &call_of(&answers[4])).await["status"], "QUEUED", "still above or at the limit");
    }
    end(&node, &token, &call_of(&answers[2])).await;
    assert_eq!(call(&node, &token, &call_of(&answers[4])).await["status"], "RESERVED");
    for (field, value) in [("limit", 0), ("limit", 101), ("systemLimit", 0), ("systemLimit", 1_001)] {
        let input = json!({ "userId": "user", field: value });
        assert_eq!(node.code(&token, LIMIT, json!({ "input": input })).await, "BAD_USER_INPUT");
    }
    assert_eq!(node.code(&token, LIMIT, json!({ "input": { "limit": 1 } })).await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn users_take_turns_for_the_companys_slots() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    limit(&node, &token, "many", 1, 1).await;
    let mut many = Vec::new();
    for _ in 0..4 {
        many.push(initiate(&node, &token, direct("many")).await);
    }
    let one = initiate(&node, &token, direct("one")).await;
    assert_eq!(one["reason"], "System concurrent call limit reached - call will be queued");
    end(&node, &token, &call_of(&many[0])).await;
    assert_eq!(call(&node, &token, &call_of(&many[1])).await["status"], "RESERVED", "it waited before");
    end(&node, &token, &call_of(&many[1])).await;
    assert_eq!(call(&node, &token, &call_of(&one)).await["status"], "RESERVED", "after one turn");
}

#[tokio::test]
async fn users_that_wait_for_the_companys_slots_are_served_in_rounds() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let users = ["ada", "ben", "cleo"];
    for user in users {
        limit(&node, &token, user, 5, 1).await;
    }
    let mut running = call_of(&initiate(&node, &token, direct("ada")).await);
    // Of ada many wait, of ben some, of cleo one; in the order of their arrival.
    let mut owners = Vec::new();
    for (user, count) in [("ada", 6), ("ben", 3), ("cleo", 1)] {
        for _ in 0..count {
            let answer = initiate(&node, &token, direct(user)).await;
            assert_eq!(answer["reason"], "System concurrent call limit reached - call will be queued");
            owners.push((call_of(&answer), user));
        }
    }
    let mut served = Vec::new();
    let mut dialer = node.subscribe(&token, super::DISPATCHED, json!({})).await;
    assert_eq!(dialer.ready().await.len(), 1);
    while served.len() < owners.len() {
        end(&node, &token, &running).await;
        let next = dialer.until(|event| event["operation"] == "INSERT").await;
        running = next.last().unwrap()["record"]["id"].as_str().unwrap().to_owned();
        served.push(owners.iter().find(|(id, _)| *id == running).unwrap().1);
    }
    let expected = ["ada", "ben", "cleo", "ada", "ben", "ada", "ben", "ada", "ada", "ada"];
    assert_eq!(served, expected, "nobody waits for more than one turn of each other user");
}

#[tokio::test]
async fn limits_are_events_and_another_servers_default_is_seen_at_once() {
    let app = TestApp::new().await;
    let (one, token) = (app.node_with(&["--user-calls", "1"]).await, service());
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(initiate(&one, &token, direct("user")).await);
    }
    limit(&one, &token, "other", 7, 20).await;
    let events =
        "query($id: ID!) { events(subjectType: \"call_limits\", subjectId: $id) { nodes { type actor version } } }";
    let company = json!({ "id": switchboard::demo::COMPANY_ID });
    let audit = one.data(&token, events, company.clone()).await;
    let set = &audit["nodes"][0];
    assert_eq!((&set["type"], &set["actor"]), (&json!("CallLimitsSet"), &json!("backend")));
    let head =
        "subscription { callQueue(userId: \"user\") { operation status { directCalls { queued processing } } } }";
    let mut watcher = one.subscribe(&token, head, json!({})).await;
    watcher.until(|event| event["operation"] == "READY").await;
    // The next server is started with another default: what waits is dispatched by it, on whichever server it is watched.
    let two = app.node_with(&["--user-calls", "3"]).await;
    let processing = |event: &Value| event["status"]["directCalls"]["processing"] == 3;
    let seen = watcher.until(processing).await;
    assert_eq!(seen.last().unwrap()["status"]["directCalls"]["queued"], 1);
    assert_eq!(call(&two, &token, &call_of(&answers[2])).await["status"], "RESERVED");
    let limits = two.data(&token, CONCURRENCY, json!({ "user": "user" })).await;
    assert_eq!((&limits["limit"], &limits["active"]), (&json!(3), &json!(3)));
    assert!(limits["available"] == 0);
}

#[tokio::test]
async fn inbound_calls_take_slots_above_the_limit_and_nothing_is_dispatched_until_below() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let mut inbound = Vec::new();
    for name in 0..3 {
        let input = json!({ "callControlId": format!("v3:{name}"), "userId": "user", "agentId": "agent" });
        let registered = node.data(&token, REGISTER, json!({ "input": input })).await;
        inbound.push(registered["call"]["id"].as_str().unwrap().to_owned());
    }
    let concurrency = node.data(&token, CONCURRENCY, json!({ "user": "user" })).await;
    assert_eq!((&concurrency["active"], &concurrency["available"]), (&json!(3), &json!(0)));
    let waiting = initiate(&node, &token, direct("user")).await;
    assert_eq!(waiting["admission"], "QUEUED");
    end(&node, &token, &inbound[0]).await;
    assert_eq!(call(&node, &token, &call_of(&waiting)).await["status"], "QUEUED");
    end(&node, &token, &inbound[1]).await;
    assert_eq!(call(&node, &token, &call_of(&waiting)).await["status"], "RESERVED");
    assert_eq!(node.data(&token, CONCURRENCY, json!({ "user": "nobody" })).await["limit"], json!(2));
    assert_ne!(concurrency, Value::Null);
}
