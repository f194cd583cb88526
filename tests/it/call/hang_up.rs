//! One hang-up, now or later.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{CALL, CALL_STATUS, HANG_UPS, SCHEDULE, activity, hang_up, register, report};
use crate::support::app::{TestApp, service};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_fifty_hang_ups_one_is_initiated_and_dialers_see_it_once() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let (nodes, token) = ([&one, &two], service());
    let id = register(&one, &token, "v3:one").await;
    let mut dialer = one.subscribe(&token, HANG_UPS, json!({})).await;
    assert_eq!(dialer.ready().await, Vec::<Value>::new());
    let outcomes = join_all((0..50).map(|number| hang_up(nodes[number % 2], &token, "v3:one"))).await;
    let initiated = outcomes.iter().filter(|outcome| outcome["outcome"] == "INITIATED").count();
    let pending = outcomes.iter().filter(|outcome| outcome["outcome"] == "ALREADY_PENDING").count();
    assert_eq!((initiated, pending), (1, 49));
    assert_eq!(activity(&two, &token, "v3:one").await, (false, json!("PENDING_HANG_UP")));
    assert_eq!(report(&two, &token, "v3:one", "ENDED", json!({})).await["outcome"], "APPLIED");
    assert_eq!(hang_up(&one, &token, "v3:one").await["outcome"], "ALREADY_ENDED");
    let told = dialer.events(2).await;
    let told: Vec<(&str, &str)> = told
        .iter()
        .map(|event| (event["operation"].as_str().unwrap(), event["record"]["id"].as_str().unwrap()))
        .collect();
    let id = id.to_string();
    assert_eq!(told, [("INSERT", id.as_str()), ("DELETE", id.as_str())]);
}

#[tokio::test]
async fn a_call_has_one_hang_up_timer_which_fires_after_a_restart() {
    let app = TestApp::new().await;
    let token = service();
    let schedule =
        |after: Value| json!({ "input": { "callControlId": "v3:one", "afterMs": after, "reason": "silence" } });
    {
        let node = app.node().await;
        register(&node, &token, "v3:one").await;
        let first = node.data(&token, SCHEDULE, schedule(json!(10_000))).await;
        let second = node.data(&token, SCHEDULE, schedule(json!(60_000))).await;
        assert!(second["hangUpAt"].as_str() > first["hangUpAt"].as_str());
        assert_eq!(node.data(&token, SCHEDULE, schedule(Value::Null)).await["hangUpAt"], Value::Null);
        node.data(&token, SCHEDULE, schedule(json!(60_000))).await;
        for bad in [-1, 86_400_001] {
            assert_eq!(node.code(&token, SCHEDULE, schedule(json!(bad))).await, "BAD_USER_INPUT");
        }
        app.advance(30).await;
        node.app.waker.wake();
        assert_eq!(node.data(&token, CALL, json!({ "name": "v3:one" })).await["status"], "RINGING");
        node.stop().await;
    }
    app.advance(61).await;
    let node = app.node().await;
    let mut stream = node.subscribe(&token, CALL_STATUS, json!({ "status": "ENDING" })).await;
    let ending = stream.until(|event| event["record"]["status"] == "ENDING").await;
    assert_eq!(ending.last().unwrap()["record"]["pendingHangUp"], true);
    assert_eq!(node.data(&token, SCHEDULE, schedule(json!(5_000))).await["hangUpAt"], Value::Null, "it ends already");
}

#[tokio::test]
async fn the_no_response_pattern_hangs_up_five_seconds_after_the_warning() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    register(&node, &token, "v3:quiet").await;
    report(&node, &token, "v3:quiet", "IN_PROGRESS", json!({})).await;
    let after = |ms: i32| json!({ "input": { "callControlId": "v3:quiet", "afterMs": ms, "reason": "no response" } });
    let mut stream = node.subscribe(&token, CALL_STATUS, json!({})).await;
    stream.ready().await;
    // Speech has ended: 10 s of silence, 3 s of the warning's playback, then 5 s. Whoever speaks sets the timer anew.
    node.data(&token, SCHEDULE, after(18_000)).await;
    app.advance(12).await;
    node.data(&token, SCHEDULE, after(18_000)).await;
    app.advance(29).await;
    node.app.waker.wake();
    assert_eq!(node.data(&token, CALL, json!({ "name": "v3:quiet" })).await["status"], "IN_PROGRESS");
    app.advance(31).await;
    node.app.waker.wake();
    let ending = stream.until(|event| event["record"]["status"] == "ENDING").await;
    assert_eq!(ending.last().unwrap()["record"]["pendingHangUp"], true);
}

#[tokio::test]
async fn a_hang_up_after_zero_milliseconds_is_now() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let token = service();
    register(&node, &token, "v3:now").await;
    let now = json!({ "input": { "callControlId": "v3:now", "afterMs": 0, "reason": "over" } });
    let scheduled = node.data(&token, SCHEDULE, now).await;
    assert_eq!((&scheduled["hangUpAt"], &scheduled["call"]["status"]), (&Value::Null, &json!("ENDING")));
}
