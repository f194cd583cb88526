//! Campaigns: contacts, windows, retries, order, aging.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{DISPATCHED, HANG_UP, REPORT, call, call_of, direct, end, initiate, limit};
use crate::support::{
    app::{TestApp, service},
    client::Client,
};

const CREATE: &str = "mutation($campaign: CampaignInput!) { createCampaign(input: { campaign: $campaign }) { campaign {
    id status queued weight } } }";
pub(super) const UPDATE: &str =
    "mutation($id: UUID!, $patch: CampaignPatch!) { updateCampaign(input: { id: $id, patch: $patch }) {
    campaign { id status queued processing canceled version } } }";
const ENQUEUE: &str = "mutation($input: EnqueueCampaignCallsInput!) { enqueueCampaignCalls(input: $input) {
    enqueued duplicates failures { contactId code } } }";
const CAMPAIGN: &str =
    "query($id: UUID!) { campaign(id: $id) { status queued processing completed failed canceled skipped } }";
const CALLS: &str = "query($id: UUID!) { calls(campaignId: $id, first: 50) { nodes { id contactId status attempt
    queueItem { id status attempt position positionInType blockedBy notBefore callId } } } }";

pub(super) async fn create(client: &Client, token: &str, mut campaign: Value) -> String {
    let object = campaign.as_object_mut().unwrap();
    for (field, value) in [("userId", "user"), ("agentId", "agent"), ("name", "Spring")] {
        object.entry(field).or_insert(json!(value));
    }
    let created = client.data(token, CREATE, json!({ "campaign": campaign })).await;
    created["campaign"]["id"].as_str().unwrap().to_owned()
}

pub(super) fn contacts(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "contactId": name, "phoneNumber": "+14155552671" })).collect()
}

pub(super) async fn enqueue(client: &Client, token: &str, campaign: &str, contacts: Value) -> Value {
    let input = json!({ "campaignId": campaign, "contacts": contacts });
    client.data(token, ENQUEUE, json!({ "input": input })).await
}

async fn shown(client: &Client, token: &str, campaign: &str) -> Value {
    client.data(token, CAMPAIGN, json!({ "id": campaign })).await
}

/// Calls of a campaign that were dispatched, by contact.
async fn dispatched(client: &Client, token: &str, campaign: &str) -> Vec<(String, String)> {
    let mut calls = of_campaign(client, token, campaign).await;
    calls.retain(|call| call["queueItem"]["status"] != "QUEUED" && call["queueItem"]["status"] != "CANCELED");
    named(&calls)
}

/// The last 50 calls of a campaign, newest first.
async fn of_campaign(client: &Client, token: &str, campaign: &str) -> Vec<Value> {
    let calls = client.data(token, CALLS, json!({ "id": campaign })).await;
    calls["nodes"].as_array().unwrap().clone()
}

/// Contacts and ids of calls, oldest first.
fn named(calls: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    calls.iter().rev().map(|call| (text(&call["contactId"]), text(&call["id"]))).collect()
}

#[tokio::test]
async fn contacts_are_called_in_order_and_duplicates_and_bad_ones_are_reported() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let campaign = create(&node, &token, json!({})).await;
    let mut rows = contacts(&["a", "b", "c", "a"]);
    rows.as_array_mut().unwrap().push(json!({ "contactId": "d", "phoneNumber": "12" }));
    let answer = enqueue(&node, &token, &campaign, rows).await;
    assert_eq!((&answer["enqueued"], &answer["duplicates"]), (&json!(3), &json!(1)));
    assert_eq!(answer["failures"], json!([{ "contactId": "d", "code": "BAD_USER_INPUT" }]));
    let again = enqueue(&node, &token, &campaign, contacts(&["b", "c", "e"])).await;
    assert_eq!((&again["enqueued"], &again["duplicates"]), (&json!(1), &json!(2)));
    let state = shown(&node, &token, &campaign).await;
    assert_eq!((&state["status"], &state["queued"], &state["processing"]), (&json!("ACTIVE"), &json!(2), &json!(2)));
    let order = ["a", "b", "c", "e"];
    for round in 0..4 {
        let calls = dispatched(&node, &token, &campaign).await;
        let mut called: Vec<&str> = calls.iter().map(|(contact, _)| contact.as_str()).collect();
        called.sort_unstable();
        assert_eq!(called, order[..(round + 2).min(4)], "by arrival");
        let (_, id) = calls.iter().find(|(contact, _)| contact == order[round]).unwrap();
        end(&node, &token, id).await;
    }
    let state = shown(&node, &token, &campaign).await;
    assert_eq!((&state["status"], &state["completed"]), (&json!("COMPLETED"), &json!(4)));
    enqueue(&node, &token, &campaign, contacts(&["a"])).await;
    assert_eq!(shown(&node, &token, &campaign).await["status"], "ACTIVE", "the next contact reopens it");
    for (field, value) in [
        ("firstCallTime", json!("25:00")),
        ("timeZone", json!("Europe/Nowhere")),
        ("maxRetries", json!(6)),
        ("retryIntervalMinutes", json!(0)),
        ("weight", json!(101)),
        ("status", json!("COMPLETED")),
        ("status", json!("SCHEDULED")),
        ("name", json!("")),
    ] {
        let mut campaign = json!({ "userId": "u", "agentId": "a", "name": "n" });
        campaign[field] = value;
        assert_eq!(node.code(&token, CREATE, json!({ "campaign": campaign })).await, "BAD_USER_INPUT", "{field}");
    }
}

#[tokio::test]
async fn direct_calls_come_first_until_campaigns_have_waited_long_enough() {
    let app = TestApp::new().await;
    let (node, token) = (app.node_with(&["--queue-aging", "10m"]).await, service());
    limit(&node, &token, "user", 1, 10).await;
    let first = initiate(&node, &token, direct("user")).await;
    let campaign = create(&node, &token, json!({})).await;
    enqueue(&node, &token, &campaign, contacts(&["a", "b"])).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(initiate(&node, &token, direct("user")).await);
    }
    assert_eq!(waiting[0]["queueItem"]["position"], 1);
    end(&node, &token, &call_of(&first)).await;
    assert_eq!(call(&node, &token, &call_of(&waiting[0])).await["status"], "RESERVED");
    app.advance(601).await;
    let place = super::item(&node, &token, &super::item_of(&waiting[1])).await;
    assert_eq!((&place["position"], &place["positionInType"]), (&json!(2), &json!(1)), "behind the aged head");
    end(&node, &token, &call_of(&waiting[0])).await;
    let calls = dispatched(&node, &token, &campaign).await;
    assert_eq!(calls.len(), 1, "one head of a campaign precedes");
    end(&node, &token, &calls[0].1).await;
    assert_eq!(call(&node, &token, &call_of(&waiting[1])).await["status"], "RESERVED", "and no second one");
}

#[tokio::test]
async fn a_paused_or_closed_campaign_keeps_its_places_and_dispatches_when_it_opens() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let campaign = create(&node, &token, json!({ "status": "PAUSED" })).await;
    enqueue(&node, &token, &campaign, contacts(&["a", "b", "c"])).await;
    assert_eq!(dispatched(&node, &token, &campaign).await.len(), 0);
    let patch = |status: &str| json!({ "id": campaign, "patch": { "status": status } });
    node.data(&token, UPDATE, patch("ACTIVE")).await;
    assert_eq!(shown(&node, &token, &campaign).await["processing"], 2, "resuming dispatches at once");
    // A window that is closed now, and opens in two hours.
    let now = OffsetDateTime::now_utc();
    let at = |hours: i64| {
        let time = now + time::Duration::hours(hours);
        format!("{:02}:{:02}", time.hour(), time.minute())
    };
    let closed =
        create(&node, &token, json!({ "userId": "other", "firstCallTime": at(2), "lastCallTime": at(4) })).await;
    enqueue(&node, &token, &closed, contacts(&["a"])).await;
    assert_eq!(shown(&node, &token, &closed).await["queued"], 1);
    let mut dialer = node.subscribe(&token, DISPATCHED, json!({})).await;
    dialer.ready().await;
    app.advance(2 * 3_600 + 1).await;
    node.app.waker.wake();
    dialer.until(|event| event["record"]["userId"] == "other").await;
    assert_eq!(shown(&node, &token, &closed).await["processing"], 1);
}

#[tokio::test]
async fn a_busy_contact_is_tried_again_as_often_as_its_campaign_says() {
    let app = TestApp::new().await;
    let (node, token) = (app.node_with(&["--slot-lease", "24h"]).await, service());
    let campaign = create(&node, &token, json!({ "maxRetries": 1, "retryIntervalMinutes": 5 })).await;
    enqueue(&node, &token, &campaign, contacts(&["a"])).await;
    let busy = async |id: &str| {
        let input = json!({ "callId": id, "status": "ENDED", "endReason": "BUSY" });
        node.data(&token, REPORT, json!({ "input": input })).await;
    };
    let first = dispatched(&node, &token, &campaign).await;
    busy(&first[0].1).await;
    let state = shown(&node, &token, &campaign).await;
    assert_eq!((&state["queued"], &state["processing"], &state["status"]), (&json!(1), &json!(0), &json!("ACTIVE")));
    let mut dialer = node.subscribe(&token, DISPATCHED, json!({})).await;
    dialer.ready().await;
    app.advance(301).await;
    node.app.waker.wake();
    let second = dialer.event().await["record"]["id"].as_str().unwrap().to_owned();
    assert_eq!(call(&node, &token, &second).await["attempt"], 2);
    busy(&second).await;
    let state = shown(&node, &token, &campaign).await;
    assert_eq!((&state["failed"], &state["status"]), (&json!(1), &json!("COMPLETED")));
}

#[tokio::test]
async fn a_canceled_campaign_is_canceled_whole_and_running_calls_finish() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let campaign = create(&node, &token, json!({})).await;
    enqueue(&node, &token, &campaign, contacts(&["a", "b", "c", "d", "e"])).await;
    let running = dispatched(&node, &token, &campaign).await;
    assert_eq!(running.len(), 2);
    let canceled = node.data(&token, UPDATE, json!({ "id": campaign, "patch": { "status": "CANCELED" } })).await;
    let canceled = &canceled["campaign"];
    assert_eq!(
        (&canceled["status"], &canceled["queued"], &canceled["canceled"]),
        (&json!("CANCELED"), &json!(0), &json!(3))
    );
    for (_, id) in &running {
        assert_eq!(end(&node, &token, id).await["outcome"], "APPLIED");
    }
    assert_eq!(dispatched(&node, &token, &campaign).await.len(), 2, "nothing of it is dispatched any more");
    let input = json!({ "campaignId": campaign, "contacts": contacts(&["f"]) });
    assert_eq!(node.code(&token, ENQUEUE, json!({ "input": input })).await, "CONFLICT");
    assert_eq!(node.code(&token, UPDATE, json!({ "id": campaign, "patch": { "status": "ACTIVE" } })).await, "CONFLICT");
    // Rows and events follow, outside the lock.
    let mut sql = app.sql().await;
    for _ in 0..100 {
        let left: i64 = sqlx::query_scalar("select count(*) from switchboard.call_queue where status = 'QUEUED'")
            .fetch_one(&mut sql)
            .await
            .unwrap();
        if left == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let events: i64 = sqlx::query_scalar("select count(*) from switchboard.event where type = 'CallCanceled'")
        .fetch_one(&mut sql)
        .await
        .unwrap();
    assert_eq!(events, 3);
    let _ = HANG_UP;
}

#[tokio::test]
async fn campaigns_of_one_user_share_its_slots_by_weight() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    limit(&node, &token, "user", 1, 10).await;
    let mut running = call_of(&initiate(&node, &token, direct("user")).await);
    let names: Vec<String> = (0..12).map(|n| format!("c{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut campaigns = Vec::new();
    for weight in [3, 1] {
        let campaign = create(&node, &token, json!({ "weight": weight })).await;
        enqueue(&node, &token, &campaign, contacts(&names)).await;
        campaigns.push(campaign);
    }
    let mut dialer = node
        .subscribe(
            &token,
            "subscription { callDispatched { operation record { id campaignId contactId } } }",
            json!({}),
        )
        .await;
    dialer.ready().await;
    let mut served: Vec<Vec<String>> = vec![Vec::new(), Vec::new()];
    for turn in 1..=12 {
        end(&node, &token, &running).await;
        let next = dialer.until(|event| event["operation"] == "INSERT").await;
        let record = &next.last().unwrap()["record"];
        running = record["id"].as_str().unwrap().to_owned();
        let of = campaigns.iter().position(|campaign| record["campaignId"] == json!(campaign)).unwrap();
        served[of].push(record["contactId"].as_str().unwrap().to_owned());
        // Never further than one call away from three to one.
        let (heavy, light) = (served[0].len(), served[1].len());
        assert!(heavy + 1 >= 3 * light && 3 * (light + 1) >= heavy, "{heavy}:{light} after {turn}");
    }
    assert_eq!((served[0].len(), served[1].len()), (9, 3));
    assert_eq!(served[1], names[..3], "by arrival within each");
    // A place counts what comes before it: seven calls of its own campaign do, and those of the other with smaller tags.
    let items = "query($id: UUID!) { calls(campaignId: $id, status: [QUEUED], first: 100) { nodes { queueItem { position } } } }";
    let mut places = Vec::new();
    for campaign in &campaigns {
        let calls = node.data(&token, items, json!({ "id": campaign })).await;
        places.extend(
            calls["nodes"].as_array().unwrap().iter().map(|call| call["queueItem"]["position"].as_i64().unwrap()),
        );
    }
    places.sort_unstable();
    assert_eq!(places, (1..=12).collect::<Vec<i64>>(), "each place once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_contacts_come_in_one_request_and_again_are_duplicates() {
    let app = TestApp::new().await;
    let (node, token) = (app.node_with(&["--execution-timeout", "5m"]).await, service());
    let campaign = create(&node, &token, json!({ "status": "PAUSED" })).await;
    let names: Vec<String> = (0..10_000).map(|n| format!("c{}", n % 9_990)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut rows = contacts(&names);
    rows[77]["phoneNumber"] = json!("12");
    let answer = enqueue(&node, &token, &campaign, rows.clone()).await;
    assert_eq!((&answer["enqueued"], &answer["duplicates"]), (&json!(9_989), &json!(10)));
    assert_eq!(answer["failures"], json!([{ "contactId": "c77", "code": "BAD_USER_INPUT" }]));
    rows[77]["phoneNumber"] = json!("+14155552671");
    let again = enqueue(&node, &token, &campaign, rows.clone()).await;
    assert_eq!((&again["enqueued"], &again["duplicates"], &again["failures"]), (&json!(1), &json!(9_999), &json!([])));
    assert_eq!(shown(&node, &token, &campaign).await["queued"], 9_990);
    rows.as_array_mut().unwrap().push(json!({ "contactId": "more", "phoneNumber": "+14155552671" }));
    let input = json!({ "campaignId": campaign, "contacts": rows });
    assert_eq!(node.code(&token, ENQUEUE, json!({ "input": input })).await, "BAD_USER_INPUT");
    let none = json!({ "campaignId": campaign, "contacts": [] });
    assert_eq!(node.code(&token, ENQUEUE, json!({ "input": none })).await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn another_agent_speaks_in_calls_that_are_dispatched_from_then_on() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    let campaign = create(&node, &token, json!({})).await;
    enqueue(&node, &token, &campaign, contacts(&["a", "b", "c", "d"])).await;
    node.data(&token, UPDATE, json!({ "id": campaign, "patch": { "agentId": "other" } })).await;
    let calls = named(&of_campaign(&node, &token, &campaign).await);
    let of = |contact: &str| calls.iter().find(|(name, _)| name == contact).unwrap().1.clone();
    let [first, second, third] = ["a", "b", "c"].map(of);
    let agent = async |id: &str| {
        node.data(&token, "query($id: UUID!) { call(id: $id) { agentId } }", json!({ "id": id })).await["agentId"]
            .take()
    };
    for waiting in [&first, &second, &third] {
        assert_eq!(agent(waiting).await, "agent", "two were dispatched before, one waits");
    }
    end(&node, &token, &first).await;
    assert_eq!(call(&node, &token, &third).await["status"], "RESERVED");
    assert_eq!(agent(&third).await, "other");
}
