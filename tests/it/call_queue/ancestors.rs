//! The failures of the ancestor, each as the interleaving that it shipped with.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{
    BEGIN, COMPLETE, CONCURRENCY, DISPATCHED, HANG_UPS, RENEW, REPORT, call, call_of, campaigns, direct, end, initiate,
    item, item_of, limit,
};
use crate::support::app::{TestApp, service};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_that_all_see_a_free_slot_do_not_all_get_it() {
    // Counting the slots and then inserting admitted one too many for each caller that counted at the same time.
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    limit(&node, &token, "user0", 1, 3).await;
    let users: Vec<String> = (0..40).map(|number| format!("user{}", number % 20)).collect();
    let answers = join_all(users.iter().map(|user| initiate(&node, &token, direct(user)))).await;
    assert_eq!(answers.iter().filter(|answer| answer["admission"] == "STARTED").count(), 3);
    let concurrency = node.data(&token, CONCURRENCY, json!({ "user": "user0" })).await;
    assert_eq!(concurrency["systemActive"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn servers_and_sql_callers_share_one_lock() {
    // A lock in the memory of a process admitted up to the limit in each process.
    let app = TestApp::new().await;
    let (one, two, three) = tokio::join!(app.node(), app.node(), app.node());
    let (nodes, token) = ([&one, &two, &three], service());
    limit(&one, &token, "user", 2, 2).await;
    for _ in 0..5 {
        let claim = async {
            let mut sql = app.sql().await;
            sqlx::raw_sql(
                "select set_config('switchboard.company_id', (select company_id::text from call_slots), false);
                 select * from claim_next_calls(10)",
            )
            .execute(&mut sql)
            .await
            .unwrap();
        };
        let callers = join_all((0..12).map(|number| initiate(nodes[number % 3], &token, direct("user"))));
        let (answers, ()) = tokio::join!(callers, claim);
        let concurrency = two.data(&token, CONCURRENCY, json!({ "user": "user" })).await;
        assert_eq!((&concurrency["active"], &concurrency["systemActive"]), (&json!(2), &json!(2)));
        // Half of those that wait are ended, and the slots go on to others.
        join_all(answers.iter().take(6).enumerate().map(|(number, answer)| {
            let (node, token) = (nodes[number % 3], &token);
            async move { end(node, token, &call_of(answer)).await }
        }))
        .await;
        let concurrency = three.data(&token, CONCURRENCY, json!({ "user": "user" })).await;
        assert_eq!(concurrency["active"], 2);
    }
}

#[tokio::test]
async fn orphans_are_swept_without_anybody_asking_and_fresh_reservations_are_not() {
    // The sweeper of orphans was never called; called, it took slots of calls whose record was not yet written.
    let app = TestApp::new().await;
    let (node, token) = (app.node_with(&["--slot-lease", "60s", "--user-calls", "2"]).await, service());
    let orphan = call_of(&initiate(&node, &token, direct("user")).await);
    let dialled = json!({ "callId": orphan, "kind": "DIAL", "requestId": "r", "leaseMs": 600_000 });
    node.data(&token, BEGIN, json!({ "input": dialled })).await;
    let mut asked = node.subscribe(&token, HANG_UPS, json!({})).await;
    asked.ready().await;
    app.advance(61).await;
    node.app.waker.wake();
    assert_eq!(asked.event().await["record"]["id"], json!(orphan));
    // Reserved just now, and nobody has reported on it yet.
    let fresh = call_of(&initiate(&node, &token, direct("user")).await);
    let waiting = initiate(&node, &token, direct("user")).await;
    assert_eq!(waiting["admission"], "QUEUED");
    app.advance(122).await;
    node.app.waker.wake();
    asked.until(|event| event["operation"] == "DELETE").await;
    assert_eq!(call(&node, &token, &orphan).await["endReason"], "LEASE_EXPIRED");
    assert_eq!(call(&node, &token, &call_of(&waiting)).await["status"], "RESERVED", "the orphan's slot went on");
    assert_eq!(call(&node, &token, &fresh).await["status"], "RESERVED");
    assert_eq!(node.data(&token, RENEW, json!({ "ids": [fresh] })).await["renewed"], json!([fresh]));
}

#[tokio::test]
async fn turns_belong_to_users_and_not_to_the_items_that_leave() {
    // The time of the last turn was written into the item that left, so that its user was again the one served longest ago.
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    limit(&node, &token, "none", 1, 1).await;
    let mut last = call_of(&initiate(&node, &token, direct("first")).await);
    for _ in 0..3 {
        for user in ["ada", "bob", "eve"] {
            assert_eq!(initiate(&node, &token, direct(user)).await["admission"], "QUEUED");
        }
    }
    let mut dialer = node.subscribe(&token, DISPATCHED, json!({})).await;
    dialer.ready().await;
    let mut order = Vec::new();
    for _ in 0..9 {
        end(&node, &token, &last).await;
        let events = dialer.until(|event| event["operation"] == "INSERT").await;
        let record = &events.last().unwrap()["record"];
        last = record["id"].as_str().unwrap().to_owned();
        order.push(record["userId"].as_str().unwrap().to_owned());
    }
    assert_eq!(order, ["ada", "bob", "eve"].repeat(3));
}

#[tokio::test]
async fn a_place_is_one_number_wherever_it_is_read() {
    // Two counts were called "position": among the user's calls of one type, and among all of them.
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    limit(&node, &token, "user", 1, 10).await;
    initiate(&node, &token, direct("user")).await;
    let campaign = campaigns::create(&node, &token, json!({})).await;
    campaigns::enqueue(&node, &token, &campaign, campaigns::contacts(&["a", "b"])).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(initiate(&node, &token, direct("user")).await);
    }
    let mut sql = app.sql().await;
    sqlx::raw_sql("select set_config('switchboard.company_id', (select company_id::text from call_slots), false)")
        .execute(&mut sql)
        .await
        .unwrap();
    let mut check = async |id: &str, position: i64, in_type: i64| {
        let shown = item(&node, &token, id).await;
        assert_eq!((&shown["position"], &shown["positionInType"]), (&json!(position), &json!(in_type)));
        let told: i64 =
            sqlx::query_scalar("select get_call_queue_position($1::uuid)").bind(id).fetch_one(&mut sql).await.unwrap();
        assert_eq!(told, in_type, "the function counts within the type, as the contract says");
    };
    for (place, answer) in (1_i64..).zip(&waiting) {
        let answered = &answer["queueItem"];
        assert_eq!((&answered["position"], &answered["positionInType"]), (&json!(place), &json!(place)));
        check(&item_of(answer), place, place).await;
    }
    let ids: Vec<String> =
        sqlx::query_scalar("select id::text from call_queue where call_type = 'CAMPAIGN' order by number")
            .fetch_all(&mut app.sql().await)
            .await
            .unwrap();
    check(&ids[0], 4, 1).await;
    check(&ids[1], 5, 2).await;
}

#[tokio::test]
async fn a_wait_follows_from_durations_and_slots() {
    // The estimate was two minutes a place, whatever calls took and however many ran at once.
    let app = TestApp::new().await;
    let (node, token) = (app.node_with(&["--slot-lease", "24h", "--user-calls", "1"]).await, service());
    let mut calls = Vec::new();
    for _ in 0..6 {
        let answer = initiate(&node, &token, direct("user")).await;
        assert_eq!(answer["queueItem"]["estimatedWaitSeconds"], Value::Null, "nothing is known yet");
        calls.push(call_of(&answer));
    }
    for (minutes, id) in (1..).zip(&calls[..5]) {
        app.advance(60 * minutes).await;
        end(&node, &token, id).await;
    }
    let mut sixth = Value::Null;
    for _ in 0..6 {
        sixth = initiate(&node, &token, direct("user")).await["queueItem"].take();
    }
    assert_eq!(sixth["positionInType"], 6);
    let with_one_slot = sixth["estimatedWaitSeconds"].as_i64().unwrap();
    assert!((300..=345).contains(&with_one_slot), "five calls of a minute and the rest of one: {with_one_slot}");
    limit(&node, &token, "user", 3, 10).await;
    let mut last = Value::Null;
    for _ in 0..2 {
        last = initiate(&node, &token, direct("user")).await["queueItem"].take();
    }
    assert_eq!(last["positionInType"], 6);
    let with_three = last["estimatedWaitSeconds"].as_i64().unwrap();
    assert!((100..=125).contains(&with_three), "a third of it: {with_three}");
}

#[tokio::test]
async fn campaigns_do_not_starve_behind_direct_calls_that_never_end() {
    let app = TestApp::new().await;
    let (node, token) =
        (app.node_with(&["--queue-aging", "10m", "--slot-lease", "24h", "--user-calls", "1"]).await, service());
    let campaign = campaigns::create(&node, &token, json!({})).await;
    let mut active = call_of(&initiate(&node, &token, direct("user")).await);
    campaigns::enqueue(&node, &token, &campaign, campaigns::contacts(&["a", "b", "c", "d"])).await;
    let mut dialer = node.subscribe(&token, DISPATCHED, json!({})).await;
    dialer.ready().await;
    let mut of_campaign = Vec::new();
    // A direct call always waits; each takes three minutes.
    for step in 1..=12 {
        assert_eq!(initiate(&node, &token, direct("user")).await["admission"], "QUEUED");
        app.advance(180 * step).await;
        end(&node, &token, &active).await;
        let events = dialer.until(|event| event["operation"] == "INSERT").await;
        active = events.last().unwrap()["record"]["id"].as_str().unwrap().to_owned();
        let kind = node.data(&token, "query($id: UUID!) { call(id: $id) { callType } }", json!({ "id": active })).await;
        if kind["callType"] == "CAMPAIGN" {
            of_campaign.push(step);
        }
    }
    // Ten minutes pass within four calls.
    assert_eq!(of_campaign, [4, 8, 12]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freed_slot_does_not_wait_for_a_poll() {
    // Waiting calls were looked for every ten seconds.
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    limit(&one, &token, "user", 1, 1).await;
    let mut active = call_of(&initiate(&one, &token, direct("user")).await);
    let mut dialer = two.subscribe(&token, DISPATCHED, json!({})).await;
    dialer.ready().await;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        waiting.push(call_of(&initiate(&two, &token, direct("user")).await));
    }
    let began = std::time::Instant::now();
    for next in waiting {
        end(&one, &token, &active).await;
        // The report's answer is the end of the transaction that gave the slot away.
        assert_eq!(call(&two, &token, &next).await["status"], "RESERVED");
        dialer.until(|event| event["operation"] == "INSERT" && event["record"]["id"] == json!(next)).await;
        active = next;
    }
    assert!(began.elapsed().as_secs() < 10, "ten hand-overs took as long as one poll: {:?}", began.elapsed());
}

#[tokio::test]
async fn news_that_overtakes_the_dialer_is_applied_when_the_call_gets_its_name() {
    // The provider's report named a call that no row was known for yet, and was dropped: the slot leaked.
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    limit(&one, &token, "user", 1, 1).await;
    let dialled = call_of(&initiate(&one, &token, direct("user")).await);
    let waiting = call_of(&initiate(&one, &token, direct("user")).await);
    let dial = json!({ "callId": dialled, "kind": "DIAL", "requestId": "r" });
    let answer = one.data(&token, BEGIN, json!({ "input": dial })).await;
    assert_eq!(answer["outcome"], "BEGUN");
    let news = json!({ "callControlId": "v3:fast", "status": "ENDED", "endReason": "BUSY" });
    assert_eq!(two.data(&token, REPORT, json!({ "input": news })).await["outcome"], "PARKED");
    assert_eq!(call(&two, &token, &waiting).await["status"], "QUEUED");
    let named = json!({ "callId": dialled, "status": "RINGING", "assignCallControlId": "v3:fast" });
    let told = one.data(&token, REPORT, json!({ "input": named })).await;
    assert_eq!((&told["call"]["status"], &told["call"]["endReason"]), (&json!("ENDED"), &json!("BUSY")));
    assert_eq!(call(&two, &token, &waiting).await["status"], "RESERVED", "the slot went on in the same transaction");
    let operation = &answer["operation"];
    let late = json!({ "operationId": operation["id"], "fencingToken": operation["fencingToken"], "succeeded": true });
    one.data(&token, COMPLETE, json!({ "input": late })).await;
    assert_eq!(call(&one, &token, &dialled).await["endReason"], "BUSY");
}
