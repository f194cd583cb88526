//! Live places, the head of the line, operators' lists, whole lines canceled.

use serde_json::{Value, json};

use super::{call_of, direct, end, initiate, item, item_of};
use crate::support::{
    app::{TestApp, service},
    client::Client,
    process::Process,
};

const ONE: &str = "subscription($id: UUID!) { callQueueItem(id: $id) { operation resync cursor record {
    id status position version } } }";
const HEAD: &str = "subscription($user: ID!) { callQueue(userId: $user, first: 2) { operation
    status { directCalls { queued processing } } items { id position } } }";
const ITEMS: &str =
    "query($user: ID!, $after: String) { callQueueItems(userId: $user, callType: DIRECT, first: 2, after: $after) {
    nodes { id status } pageInfo { hasNextPage endCursor } } }";
const CANCEL_ALL: &str =
    "mutation($input: CancelQueuedCallsInput!) { cancelQueuedCalls(input: $input) { canceled alreadyDispatched } }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiter_sees_its_place_until_its_end_and_operators_the_head_of_the_line() {
    let app = TestApp::new().await;
    let (one, two) = tokio::join!(app.node(), app.node());
    let token = service();
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(initiate(&one, &token, direct("user")).await);
    }
    let mut waiter = two.subscribe(&token, ONE, json!({ "id": item_of(&answers[3]) })).await;
    let first = waiter.event().await;
    assert_eq!((&first["operation"], &first["record"]["position"]), (&json!("SNAPSHOT"), &json!(2)));
    assert_eq!(waiter.event().await["operation"], "READY");
    let mut head = two.subscribe(&token, HEAD, json!({ "user": "user" })).await;
    for operation in ["SNAPSHOT", "READY"] {
        let event = head.event().await;
        assert_eq!((&event["operation"], &event["status"]["directCalls"]["queued"]), (&json!(operation), &json!(3)));
        let ids: Vec<&Value> = event["items"].as_array().unwrap().iter().map(|item| &item["id"]).collect();
        assert_eq!(ids, [&json!(item_of(&answers[2])), &json!(item_of(&answers[3]))]);
    }
    end(&one, &token, &call_of(&answers[0])).await;
    let moved = waiter.until(|event| event["record"]["position"] == 1).await;
    assert!(moved.iter().all(|event| event["operation"] == "UPDATE"));
    let update = head.until(|event| event["status"]["directCalls"]["queued"] == 2).await;
    assert_eq!(update.last().unwrap()["items"][0]["id"], json!(item_of(&answers[3])));
    end(&one, &token, &call_of(&answers[1])).await;
    waiter.until(|event| event["record"]["status"] == "PROCESSING").await;
    end(&one, &token, &call_of(&answers[3])).await;
    let last = waiter.until(|event| event["record"]["status"] == "COMPLETED").await;
    assert_eq!(last.last().unwrap()["record"]["position"], Value::Null);
}

#[tokio::test]
async fn open_items_are_listed_and_whole_lines_canceled_as_expected() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(initiate(&node, &token, direct("user")).await);
    }
    let mut seen = Vec::new();
    let mut after = Value::Null;
    loop {
        let page = node.data(&token, ITEMS, json!({ "user": "user", "after": after })).await;
        seen.extend(page["nodes"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    let mut expected: Vec<String> = answers[2..].iter().map(item_of).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    let cancel = |expected: i32| json!({ "input": { "userId": "user", "callType": "DIRECT", "expected": expected } });
    assert_eq!(node.code(&token, CANCEL_ALL, cancel(5)).await, "CONFLICT");
    end(&node, &token, &call_of(&answers[0])).await;
    let canceled = node.data(&token, CANCEL_ALL, cancel(3)).await;
    assert_eq!((&canceled["canceled"], &canceled["alreadyDispatched"]), (&json!(3), &json!(1)));
    for answer in &answers[3..] {
        let item = item(&node, &token, &item_of(answer)).await;
        assert_eq!((&item["status"], &item["position"]), (&json!("CANCELED"), &Value::Null), "at once");
        assert_eq!(item["call"]["endReason"], "CANCELED");
    }
    end(&node, &token, &call_of(&answers[1])).await;
    let next = initiate(&node, &token, direct("user")).await;
    assert_eq!(next["admission"], "STARTED", "nothing waits before it");
}

const CAMPAIGN: &str =
    "mutation($campaign: CampaignInput!) { createCampaign(input: { campaign: $campaign }) { campaign { id } } }";
const ENQUEUE: &str =
    "mutation($input: EnqueueCampaignCallsInput!) { enqueueCampaignCalls(input: $input) { enqueued } }";
const PATCH: &str = "mutation($id: UUID!, $patch: CampaignPatch!) { updateCampaign(input: { id: $id, patch: $patch }) { campaign { id } } }";
const LINE: &str =
    "subscription { callQueue(userId: \"user\") { operation items { id callType position blockedBy } } }";

async fn campaign(client: &Client, token: &str, mut campaign: Value, contacts: &[&str]) -> String {
    for (field, value) in [("userId", "user"), ("agentId", "agent"), ("name", "Spring")] {
        campaign[field] = json!(value);
    }
    let created = client.data(token, CAMPAIGN, json!({ "campaign": campaign })).await;
    let id = created["campaign"]["id"].as_str().unwrap().to_owned();
    let contacts: Vec<Value> =
        contacts.iter().map(|name| json!({ "contactId": name, "phoneNumber": "+14155552671" })).collect();
    client.data(token, ENQUEUE, json!({ "input": { "campaignId": id, "contacts": contacts } })).await;
    id
}

/// The types of the items of a message of `callQueue`.
fn types(event: &Value) -> Vec<&str> {
    event["items"].as_array().unwrap().iter().map(|item| item["callType"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_at_once_that_campaigns_have_waited_long_enough_although_nothing_happens() {
    let app = TestApp::new().await;
    let (node, token) = (app.node_with(&["--queue-aging", "8s", "--user-calls", "1"]).await, service());
    initiate(&node, &token, direct("user")).await;
    let waiting = initiate(&node, &token, direct("user")).await;
    campaign(&node, &token, json!({}), &["a"]).await;
    let mut waiter = node.subscribe(&token, ONE, json!({ "id": item_of(&waiting) })).await;
    assert_eq!(waiter.event().await["record"]["position"], 1);
    let mut line = node.subscribe(&token, LINE, json!({})).await;
    assert_eq!(types(&line.event().await), ["DIRECT", "CAMPAIGN"]);
    let moved = waiter.until(|event| event["record"]["position"] == 2).await;
    assert_eq!(moved.last().unwrap()["operation"], "UPDATE");
    let moved = line.until(|event| types(event) == ["CAMPAIGN", "DIRECT"]).await;
    assert_eq!(moved.last().unwrap()["operation"], "UPDATE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_see_that_a_window_opens_and_that_a_campaign_is_paused() {
    let app = TestApp::new().await;
    let (node, token) = (app.node_with(&["--slot-lease", "24h", "--user-calls", "1"]).await, service());
    initiate(&node, &token, direct("user")).await;
    let now = time::OffsetDateTime::now_utc();
    let at = |hours: i64| {
        let time = now + time::Duration::hours(hours);
        format!("{:02}:{:02}", time.hour(), time.minute())
    };
    let id = campaign(&node, &token, json!({ "firstCallTime": at(2), "lastCallTime": at(4) }), &["a"]).await;
    let mut line = node.subscribe(&token, LINE, json!({})).await;
    assert_eq!(types(&line.event().await), Vec::<&str>::new());
    app.advance(2 * 3_600 + 1).await;
    node.app.waker.wake();
    let opened = line.until(|event| types(event) == ["CAMPAIGN"]).await;
    assert_eq!(opened.last().unwrap()["items"][0]["blockedBy"], Value::Null);
    let item = opened.last().unwrap()["items"][0]["id"].clone();
    let blocked = "subscription($id: UUID!) { callQueueItem(id: $id) { operation record { blockedBy } } }";
    let mut waiter = node.subscribe(&token, blocked, json!({ "id": item })).await;
    assert_eq!(waiter.event().await["record"]["blockedBy"], Value::Null);
    node.data(&token, PATCH, json!({ "id": id, "patch": { "status": "PAUSED" } })).await;
    waiter.until(|event| event["record"]["blockedBy"] == "PAUSED").await;
    line.until(|event| types(event).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_items_of_a_queue_that_are_watched_are_one_computation() {
    const WATCHED: usize = 30;
    let app = TestApp::new().await;
    let server = Process::serve(&app.database.url(), &[]).await;
    let (client, token) = (&server.client, service());
    let mut answers = Vec::new();
    for _ in 0..WATCHED + 2 {
        answers.push(initiate(client, &token, direct("user")).await);
    }
    let mut waiters = Vec::new();
    for (place, answer) in answers[2..].iter().enumerate() {
        let mut waiter = client.subscribe(&token, ONE, json!({ "id": item_of(answer) })).await;
        assert_eq!(waiter.event().await["record"]["position"], json!(place + 1));
        assert_eq!(waiter.event().await["operation"], "READY");
        waiters.push(waiter);
    }
    let reads = async || {
        let metrics = client.text("/metrics").await;
        let line = metrics.lines().find_map(|line| line.strip_prefix("switchboard_stream_read_seconds_count "));
        line.unwrap().parse::<usize>().unwrap()
    };
    let before = reads().await;
    end(client, &token, &call_of(&answers[0])).await;
    for (place, waiter) in waiters.iter_mut().enumerate().skip(1) {
        waiter.until(|event| event["record"]["position"] == json!(place)).await;
    }
    let computed = reads().await - before;
    assert!((1..=4).contains(&computed), "{computed} reads for {WATCHED} watchers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_waiting_calls_are_canceled_at_once_and_written_in_steps() {
    const WAITING: i32 = 100_000;
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let id = campaign(&node, &token, json!({ "status": "PAUSED" }), &["first"]).await;
    // As enqueued before: rows and counters, without their events.
    let mut sql = app.sql().await;
    let insert = format!(
        "set search_path = switchboard;
         insert into call_queue (company_id, id, line_id, user_id, call_type, campaign_id, number, status, call_id, agent_id,
             phone_number, contact_id, queued_at, requeued_at)
         select company_id, gen_random_uuid(), line_id, user_id, call_type, campaign_id, n, 'QUEUED', gen_random_uuid(),
             agent_id, phone_number, 'c' || n, queued_at, requeued_at
         from call_queue, generate_series(2, {WAITING}) as n where campaign_id = '{id}';
         update call_queue_line set tail = {WAITING}, n = {WAITING} where id = '{id}';
         update call_queue_user set queued_campaign = {WAITING} where user_id = 'user';
         update campaign set queued = {WAITING} where id = '{id}';"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut sql).await.unwrap();
    let cancel = json!({ "input": { "userId": "user", "callType": "CAMPAIGN", "expected": WAITING } });
    let began = std::time::Instant::now();
    let canceled = node.data(&token, CANCEL_ALL, cancel).await;
    let took = began.elapsed();
    assert_eq!((&canceled["canceled"], &canceled["alreadyDispatched"]), (&json!(WAITING), &json!(0)));
    assert!(took < std::time::Duration::from_secs(2), "{took:?}");
    // While rows and events follow, calls are admitted.
    assert_eq!(initiate(&node, &token, direct("user")).await["admission"], "STARTED");
    let left = "select count(*) from switchboard.call_queue where status = 'QUEUED'";
    let written = async {
        while sqlx::query_scalar::<_, i64>(left).fetch_one(&mut sql).await.unwrap() > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(4), written).await.expect("every row is written");
    let events = "select count(*), max(together), count(distinct call) from (
        select subject_id as call, count(*) over (partition by xid) as together
        from switchboard.event where type = 'CallCanceled') as event";
    let events: (i64, i64, i64) = sqlx::query_as(events).fetch_one(&mut sql).await.unwrap();
    assert_eq!((events.0, events.2), (WAITING.into(), WAITING.into()), "one event a call");
    assert!(events.1 <= 500, "{} events in one transaction", events.1);
}
