//! Samples of each minute, violations of priority, and the metrics that come from them.

use serde_json::{Value, json};
use sqlx::PgConnection;
use switchboard::call_queue;
use tokio::time::timeout;

use super::{REPORT, call_of, direct, end, initiate, limit};
use crate::support::{
    app::{TestApp, service, service_of},
    chat::other_company,
    client::Client,
    event_path::PATIENCE,
    process::Process,
};

const SAMPLES: &str = "query($user: ID, $minutes: Int!) { callQueueSamples(userId: $user, minutes: $minutes) {
    at direct campaign active dispatched waitP50 waitP90 } }";
const VIOLATIONS: &str = "query($user: ID!) { callQueueStatus(userId: $user) { priorityViolations } }";
const CREATE: &str =
    "mutation { createCampaign(input: { campaign: { userId: \"user\", agentId: \"a\", name: \"n\" } }) {
    campaign { id } } }";
const ENQUEUE: &str =
    "mutation($input: EnqueueCampaignCallsInput!) { enqueueCampaignCalls(input: $input) { enqueued } }";

/// A clock that is moved to whole minutes of the test: minute 0 is where it stood in the beginning.
struct Minutes<'a> {
    app: &'a TestApp,
    begin: f64,
}

impl<'a> Minutes<'a> {
    /// Moves the clock to the begin of a minute.
    async fn begin(app: &'a TestApp) -> Self {
        let mut sql = app.sql().await;
        let begin = "select extract(epoch from clock_timestamp())::float8";
        let begin = (sqlx::query_scalar::<_, f64>(begin).fetch_one(&mut sql).await.unwrap() / 60.0).ceil() * 60.0;
        let minutes = Self { app, begin };
        minutes.reach(0.0).await;
        minutes
    }

    /// Moves the clock to so many minutes and some seconds after the begin.
    async fn reach(&self, minutes: f64) {
        let mut sql = self.app.sql().await;
        let now = "select extract(epoch from clock_timestamp())::float8";
        let now: f64 = sqlx::query_scalar(now).fetch_one(&mut sql).await.unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "a few minutes")]
        let ahead = (self.begin + minutes * 60.0 - now + 3.0).ceil() as i64;
        self.app.advance(ahead).await;
    }
}

async fn samples(client: &Client, token: &str, user: Value) -> Vec<Value> {
    let found = client.data(token, SAMPLES, json!({ "user": user, "minutes": 60 })).await;
    let mut found = found.as_array().unwrap().clone();
    for sample in &mut found {
        assert!(sample["at"].as_str().unwrap().contains(":00"), "{sample}");
        sample.as_object_mut().unwrap().remove("at");
    }
    found
}

async fn enqueue(client: &Client, token: &str, names: &[&str]) -> Value {
    let campaign = client.data(token, CREATE, json!({})).await["campaign"]["id"].clone();
    let contacts: Vec<Value> =
        names.iter().map(|name| json!({ "contactId": name, "phoneNumber": "+14155552671" })).collect();
    client.data(token, ENQUEUE, json!({ "input": { "campaignId": campaign, "contacts": contacts } })).await;
    campaign
}

async fn violations(client: &Client, token: &str) -> Value {
    client.data(token, VIOLATIONS, json!({ "user": "user" })).await["priorityViolations"].take()
}

async fn count(sql: &mut PgConnection) -> i64 {
    sqlx::query_scalar("select count(*) from switchboard.call_queue_sample").fetch_one(sql).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_minute_is_sampled_once_and_forgotten_after_a_day() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--slot-lease", "24h"]).await;
    let token = service();
    let work = app.database.work();
    let clock = Minutes::begin(&app).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(initiate(&node, &token, direct("user")).await);
    }
    initiate(&node, &token, direct("other")).await;
    enqueue(&node, &token, &["a", "b", "c"]).await;
    clock.reach(1.0).await;
    // The servers' own tasks take part in this race.
    let race = (0..6).map(|_| call_queue::sample(&work));
    for taken in futures_util::future::join_all(race).await {
        taken.unwrap();
    }
    let first = json!({ "direct": 2, "campaign": 3, "active": 2, "dispatched": 2, "waitP50": 0, "waitP90": 0 });
    assert_eq!(samples(&node, &token, json!("user")).await, [first.clone()]);
    let other = json!({ "direct": 0, "campaign": 0, "active": 1, "dispatched": 1, "waitP50": 0, "waitP90": 0 });
    assert_eq!(samples(&node, &token, json!("other")).await, [other]);
    let company = json!({ "direct": 2, "campaign": 3, "active": 3, "dispatched": 3, "waitP50": 0, "waitP90": 0 });
    assert_eq!(samples(&node, &token, Value::Null).await, [company]);
    // Within the next minute one is dispatched that had waited for a minute.
    end(&node, &token, &call_of(&answers[0])).await;
    clock.reach(2.0).await;
    call_queue::sample(&work).await.unwrap();
    let found = samples(&node, &token, json!("user")).await;
    assert_eq!((found.len(), &found[0]), (2, &first));
    assert_eq!((&found[1]["direct"], &found[1]["active"], &found[1]["dispatched"]), (&json!(1), &json!(2), &json!(1)));
    let waited = found[1]["waitP50"].as_i64().unwrap();
    assert!((55..=90).contains(&waited), "{waited}");
    // Nothing of another company; bounds.
    let foreign = service_of(other_company(&app).await);
    assert_eq!(samples(&node, &foreign, Value::Null).await, Vec::<Value>::new());
    for minutes in [0, -1, 1_441] {
        assert_eq!(node.code(&token, SAMPLES, json!({ "minutes": minutes })).await, "BAD_USER_INPUT", "{minutes}");
    }
    let recent = node.data(&token, SAMPLES, json!({ "user": "user", "minutes": 1 })).await;
    assert_eq!(recent.as_array().unwrap().len(), 1);
    // A day later they are gone, but for the present minute.
    let mut sql = app.sql().await;
    assert!(count(&mut sql).await >= 6);
    clock.reach(2.0 + 24.0 * 60.0 + 5.0).await;
    call_queue::sample(&work).await.unwrap();
    let left = "select count(*) from switchboard.call_queue_sample where at < switchboard.now() - interval '1 hour'";
    assert_eq!(sqlx::query_scalar::<_, i64>(left).fetch_one(&mut sql).await.unwrap(), 0);
    assert!(count(&mut sql).await > 0, "what waits is sampled");
    work.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaigns_call_before_a_direct_one_is_counted_and_aging_is_none() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--slot-lease", "24h", "--queue-aging", "10m"]).await;
    let token = service();
    let work = app.database.work();
    limit(&node, &token, "user", 1, 10).await;
    let clock = Minutes::begin(&app).await;
    let mut answers = vec![initiate(&node, &token, direct("user")).await];
    let campaign = enqueue(&node, &token, &["a", "b", "c"]).await;
    for _ in 0..3 {
        answers.push(initiate(&node, &token, direct("user")).await);
    }
    // A direct one; then, after eleven minutes, the campaign's head, by aging; then a direct one again.
    end(&node, &token, &call_of(&answers[0])).await;
    clock.reach(1.0).await;
    call_queue::sample(&work).await.unwrap();
    clock.reach(11.0).await;
    end(&node, &token, &call_of(&answers[1])).await;
    let calls = "query($id: UUID!) { calls(campaignId: $id, status: [RESERVED]) { nodes { id } } }";
    let aged = node.data(&token, calls, json!({ "id": campaign })).await["nodes"][0]["id"].clone();
    end(&node, &token, aged.as_str().expect("a campaign's call has the slot")).await;
    clock.reach(12.0).await;
    call_queue::sample(&work).await.unwrap();
    assert_eq!(violations(&node, &token).await, 0, "aging is no violation");
    let dispatched = samples(&node, &token, json!("user")).await;
    assert_eq!(dispatched.last().unwrap()["dispatched"], 2);
    // Forged: the campaign's next call gets a slot although a direct one waits.
    let mut sql = app.sql().await;
    sqlx::raw_sql(
        "insert into switchboard.call (company_id, id, user_id, agent_id, call_type, campaign_id, contact_id, status,
             queued_at, inserted_at)
         select company_id, call_id, user_id, agent_id, call_type, campaign_id, contact_id, 'RESERVED', requeued_at,
             switchboard.now()
         from switchboard.call_queue where call_type = 'CAMPAIGN' and status = 'QUEUED' order by number limit 1",
    )
    .execute(&mut sql)
    .await
    .unwrap();
    clock.reach(13.0).await;
    call_queue::sample(&work).await.unwrap();
    assert_eq!(violations(&node, &token).await, 1);
    clock.reach(14.0).await;
    call_queue::sample(&work).await.unwrap();
    assert_eq!(violations(&node, &token).await, 1, "once");
    clock.reach(14.0 + 24.0 * 60.0).await;
    assert_eq!(violations(&node, &token).await, 0, "of the last day");
    work.close().await;
}

/// The value of a metric, if the server has it.
fn value(metrics: &str, name: &str) -> Option<f64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_show_depth_waits_admissions_dispatches_and_slots() {
    let app = TestApp::new().await;
    let server = Process::serve(&app.database.url(), &[]).await;
    let (client, token) = (&server.client, service());
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(initiate(client, &token, direct("user")).await);
    }
    enqueue(client, &token, &["a", "b"]).await;
    end(client, &token, &call_of(&answers[0])).await;
    let input = json!({ "callId": call_of(&answers[1]), "status": "ENDED", "endReason": "COMPLETED" });
    client.data(&token, REPORT, json!({ "input": input })).await;
    app.advance(120).await;
    // The task looks every ten seconds.
    let sampled = async {
        loop {
            let metrics = client.text("/metrics").await;
            if value(&metrics, "switchboard_call_queue_depth{type=\"direct\"}") == Some(1.0) {
                return metrics;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let metrics = timeout(PATIENCE, sampled).await.expect("the next look publishes what waits");
    for (name, expected) in [
        ("switchboard_call_queue_depth{type=\"campaign\"}", 2.0),
        ("switchboard_call_slots_in_use", 2.0),
        ("switchboard_call_slots_limit", 10.0),
        ("switchboard_call_queue_admissions_total{admission=\"started\"}", 2.0),
        ("switchboard_call_queue_admissions_total{admission=\"queued\"}", 3.0),
        ("switchboard_call_queue_queued_total{type=\"campaign\"}", 2.0),
        ("switchboard_call_queue_dispatched_total{type=\"direct\"}", 2.0),
        ("switchboard_call_queue_wait_seconds_count{type=\"direct\"}", 2.0),
        ("switchboard_call_queue_wait_seconds_bucket{type=\"direct\",le=\"3600\"}", 2.0),
        ("switchboard_call_queue_dispatch_seconds_count", 2.0),
        ("switchboard_call_queue_priority_violations_total", 0.0),
    ] {
        assert_eq!(value(&metrics, name), Some(expected), "{name}\n{metrics}");
    }
    assert!(metrics.lines().all(|line| !line.contains("\"user\"")), "no label names a user");
}
