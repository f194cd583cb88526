//! News of calls: late, repeated, reordered, of names that nobody knows yet.

use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ACTIVE, CALL, CALL_STATUS, REGISTER, REPORT, activity, hang_up, register, registration, report};
use crate::support::{
    app::{TestApp, service, service_of},
    chat::other_company,
};

#[tokio::test]
async fn news_never_moves_a_call_back_and_repeats_are_stale() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    let id = register(&one, &token, "v3:one").await;
    let mut stream = two.subscribe(&token, CALL_STATUS, json!({ "call": id })).await;
    assert_eq!(stream.ready().await[0]["status"], "RINGING");

    let answered = report(&two, &token, "v3:one", "IN_PROGRESS", json!({})).await;
    assert_eq!((&answered["outcome"], &answered["call"]["generation"]), (&json!("APPLIED"), &json!(1)));
    assert_eq!(report(&one, &token, "v3:one", "RESERVED", json!({})).await["outcome"], "STALE");
    let ended = report(&one, &token, "v3:one", "ENDED", json!({})).await;
    assert_eq!((&ended["call"]["endReason"], &ended["call"]["generation"]), (&json!("COMPLETED"), &json!(2)));
    let late = json!({ "occurredAt": "2030-01-01T00:00:00Z" });
    assert_eq!(report(&two, &token, "v3:one", "IN_PROGRESS", late).await["outcome"], "STALE");
    assert_eq!(
        report(&two, &token, "v3:one", "ENDED", json!({ "endReason": "BUSY", "occurredAt": "2030-01-01T00:00:00Z" }))
            .await["outcome"],
        "APPLIED",
        "a later reason is remembered, and changes nothing that is shown"
    );
    assert_eq!(one.data(&token, CALL, json!({ "id": id })).await["endReason"], "COMPLETED");
    let told: Vec<Value> = stream.events(2).await.iter_mut().map(|event| event["record"]["status"].take()).collect();
    assert_eq!(told, ["IN_PROGRESS", "ENDED"]);
}

#[tokio::test]
async fn news_before_the_call_is_known_is_parked_and_applied_when_it_takes_the_name() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    assert_eq!(activity(&one, &token, "v3:early").await, (false, json!("UNKNOWN_CALL")));
    for status in ["ENDED", "IN_PROGRESS", "RINGING", "IN_PROGRESS"] {
        let parked = report(&one, &token, "v3:early", status, json!({})).await;
        assert_eq!((&parked["outcome"], &parked["call"]), (&json!("PARKED"), &Value::Null));
    }
    assert_eq!(activity(&one, &token, "v3:early").await, (false, json!("UNKNOWN_CALL")));
    let call = two.data(&token, REGISTER, registration("v3:early")).await["call"].take();
    assert_eq!((&call["status"], &call["version"]), (&json!("ENDED"), &json!(2)));
    assert_eq!(activity(&one, &token, "v3:early").await, (false, json!("ENDED")));
    let again = one.data(&token, REGISTER, registration("v3:early")).await["call"].take();
    assert_eq!(again, call, "a repeat returns the existing call");
    let mut other_user = registration("v3:early");
    other_user["input"]["userId"] = json!("another");
    assert_eq!(one.code(&token, REGISTER, other_user).await, "CONFLICT");
}

#[tokio::test]
async fn a_hang_up_report_before_ringing_still_ends_the_call() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    let asked = hang_up(&node, &token, "v3:soon").await;
    assert_eq!((&asked["outcome"], &asked["call"]), (&json!("PARKED"), &Value::Null));
    let call = node.data(&token, REGISTER, registration("v3:soon")).await["call"].take();
    assert_eq!(call["status"], "ENDING");
    assert_eq!(activity(&node, &token, "v3:soon").await, (false, json!("PENDING_HANG_UP")));
    assert_eq!(report(&node, &token, "v3:soon", "RINGING", json!({})).await["call"]["status"], "ENDING");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn news_and_registration_at_the_same_moment_do_not_miss_each_other() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let (one, two, token) = (&one, &two, &service());
    join_all((0..40).map(|number| async move {
        let name = format!("v3:{number}");
        let (_, told, asked) = tokio::join!(
            register(one, token, &name),
            report(two, token, &name, "ENDED", json!({})),
            hang_up(two, token, &name)
        );
        assert!(["APPLIED", "PARKED"].contains(&told["outcome"].as_str().unwrap()), "{told}");
        assert_ne!(asked["outcome"], Value::Null);
        let call = one.data(token, CALL, json!({ "name": name })).await;
        assert_eq!(call["status"], "ENDED", "{told} {asked} {call}");
    }))
    .await;
    let mut sql = app.sql().await;
    let parked: i64 = sqlx::query_scalar("select count(*) from call_news").fetch_one(&mut sql).await.unwrap();
    assert_eq!(parked, 0);
}

#[tokio::test]
async fn a_call_keeps_its_first_name_and_names_are_unique() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    let id = register(&node, &token, "v3:one").await;
    register(&node, &token, "v3:two").await;
    let assign = |name: &str| json!({ "input": { "callId": id, "status": "RINGING", "assignCallControlId": name } });
    for taken in ["v3:two", "v3:three"] {
        assert_eq!(node.code(&token, REPORT, assign(taken)).await, "CONFLICT");
    }
    assert_eq!(node.data(&token, REPORT, assign("v3:one")).await["call"]["callControlId"], "v3:one");
}

#[tokio::test]
async fn bad_input_and_other_companies_get_their_codes() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    let id = register(&node, &token, "v3:one").await;
    let bad = [
        json!({ "status": "RINGING" }),
        json!({ "callId": id, "callControlId": "v3:one", "status": "RINGING" }),
        json!({ "callId": id, "status": "RINGING", "endReason": "BUSY" }),
        json!({ "callControlId": "", "status": "RINGING" }),
        json!({ "callControlId": "x".repeat(201), "status": "RINGING" }),
    ];
    for input in bad {
        assert_eq!(node.code(&token, REPORT, json!({ "input": input })).await, "BAD_USER_INPUT", "{input}");
    }
    let unknown = json!({ "input": { "callId": Uuid::now_v7(), "status": "RINGING" } });
    assert_eq!(node.code(&token, REPORT, unknown).await, "NOT_FOUND");
    let foreign = service_of(other_company(&app).await);
    assert_eq!(node.data(&foreign, CALL, json!({ "id": id })).await, Value::Null);
    assert_eq!(node.data(&foreign, ACTIVE, json!({ "name": "v3:one" })).await["reason"], "UNKNOWN_CALL");
    let theirs = json!({ "input": { "callId": id, "status": "RINGING" } });
    assert_eq!(node.code(&foreign, REPORT, theirs).await, "NOT_FOUND");
    assert_ne!(register(&node, &foreign, "v3:one").await, id, "a name is one company's");
}
