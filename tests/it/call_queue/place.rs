//! A place is the order in which items would be dispatched: read, and compared with dispatching all of them.
//!
//! `SWITCHBOARD_PLACE_SEED` repeats a run.

use std::collections::HashMap;

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::{
    CANCEL, REPORT,
    campaigns::{UPDATE, create, enqueue},
    direct, initiate, limit,
};
use crate::support::{
    app::{Node, TestApp, service_of},
    chat::other_company,
    dice::{Dice, Seed},
};

const CANCEL_ALL: &str = "mutation($input: CancelQueuedCallsInput!) { cancelQueuedCalls(input: $input) { canceled } }";
const USER: &str = "user";
/// Sequences, and the steps of each.
const SEQUENCES: u64 = 5;
const STEPS: usize = 80;
/// Between two comparisons.
const STRIDE: usize = 8;

/// Takes every limit away, within a transaction that is rolled back.
const UNLIMIT: &str = "
    alter table switchboard.call_slots drop constraint call_slots_system_limit_check;
    alter table switchboard.call_queue_user drop constraint call_queue_user_call_limit_check;
    update switchboard.call_slots set system_limit = 1000000;
    update switchboard.call_queue_user set call_limit = 1000000;
    select switchboard.call_queue_refresh_user(company_id, user_id, switchboard.now()) from switchboard.call_queue_user;
";

/// An item that waits: its id, its line, whether that is open, whether it is a retry that is not due, its places.
type Waiting = (Uuid, Uuid, bool, bool, Option<i64>, Option<i64>);

/// The order in which everything that waits is dispatched.
async fn dispatch_all(sql: &mut PgConnection, company: Uuid) -> HashMap<Uuid, (i64, i64)> {
    let items: Vec<(Uuid, bool)> = sqlx::query_as(
        "select item.id, item.campaign_id is not null
         from switchboard.call_dispatch($1, 1000000) with ordinality as dispatched (call_id, place)
         cross join lateral (
             select * from switchboard.call_queue as item
             where item.company_id = $1 and item.call_id = dispatched.call_id offset 0
         ) as item
         order by dispatched.place",
    )
    .bind(company)
    .fetch_all(sql)
    .await
    .unwrap();
    let (mut places, mut in_type) = (HashMap::new(), [0, 0]);
    for (place, (id, is_campaign)) in (1..).zip(items) {
        let of_type = &mut in_type[usize::from(is_campaign)];
        *of_type += 1;
        places.insert(id, (place, *of_type));
    }
    places
}

/// Compares every place with the order of dispatch. Returns how many were compared, and how many of those could not be
/// dispatched as things are.
async fn compare(sql: &mut PgConnection, company: Uuid) -> (usize, usize) {
    let mut whole = sql.begin().await.unwrap();
    // Nothing of the company's queue changes meanwhile.
    sqlx::query("select switchboard.call_slots_lock($1)").bind(company).execute(&mut *whole).await.unwrap();
    let waiting: Vec<Waiting> = sqlx::query_as(
        "select item.id, item.line_id, line.is_open, item.number is null, place.position, place.position_in_type
         from switchboard.call_queue as item
         join switchboard.call_queue_line as line on line.company_id = item.company_id and line.id = item.line_id
         cross join lateral switchboard.call_queue_position($1, item.id, switchboard.now()) as place
         where item.company_id = $1 and item.status = 'QUEUED' and not switchboard.call_queue_is_canceled(item, line)
         order by item.line_id, item.number",
    )
    .bind(company)
    .fetch_all(&mut *whole)
    .await
    .unwrap();
    sqlx::raw_sql(UNLIMIT).execute(&mut *whole).await.unwrap();
    let mut trial = whole.begin().await.unwrap();
    let order = dispatch_all(&mut trial, company).await;
    trial.rollback().await.unwrap();
    let (mut blocked, mut opened) = (0, HashMap::new());
    for (id, line, is_open, is_retry, position, in_type) in &waiting {
        let told = position.zip(*in_type);
        if *is_open && !is_retry {
            assert_eq!(told, order.get(id).copied(), "{id} among {}", waiting.len());
            continue;
        }
        // As if its line were opened, and its number given, now.
        blocked += 1;
        if !is_retry && let Some(order) = opened.get(line) {
            let order: &HashMap<Uuid, (i64, i64)> = order;
            assert_eq!(told, order.get(id).copied(), "{id} of a closed line");
            continue;
        }
        let mut trial = whole.begin().await.unwrap();
        if *is_retry {
            sqlx::query(
                "update switchboard.call_queue set not_before = '2000-01-01' where company_id = $1 and id = $2",
            )
            .bind(company)
            .bind(id)
            .execute(&mut *trial)
            .await
            .unwrap();
            sqlx::query("select switchboard.call_queue_admit_due($1, 1)")
                .bind(company)
                .execute(&mut *trial)
                .await
                .unwrap();
        }
        sqlx::query(
            "select switchboard.call_queue_set_line($1, id, true, weight) from switchboard.campaign where id = $2",
        )
        .bind(company)
        .bind(line)
        .execute(&mut *trial)
        .await
        .unwrap();
        let order = dispatch_all(&mut trial, company).await;
        trial.rollback().await.unwrap();
        assert_eq!(told, order.get(id).copied(), "{id}, a retry: {is_retry}, of an open line: {is_open}");
        if !is_retry {
            opened.insert(*line, order);
        }
    }
    whole.rollback().await.unwrap();
    (waiting.len(), blocked)
}

/// One user with a slot that is in use, and what happens to its lines.
struct Sequence<'a> {
    app: &'a TestApp,
    node: &'a Node,
    token: String,
    company: Uuid,
    campaigns: Vec<String>,
    contacts: usize,
    dice: Dice,
}

impl Sequence<'_> {
    async fn some_item(&mut self, sql: &mut PgConnection) -> Option<Uuid> {
        let waiting: Vec<Uuid> = sqlx::query_scalar(
            "select id from switchboard.call_queue where company_id = $1 and status = 'QUEUED' order by id",
        )
        .bind(self.company)
        .fetch_all(sql)
        .await
        .unwrap();
        self.dice.pick(&waiting).copied()
    }

    async fn run(&self, document: &str, input: Value) {
        let answer = self.node.run(&self.token, document, json!({ "input": input })).await;
        assert!(["", "CONFLICT"].contains(&answer.code()), "{answer:?}");
    }

    async fn enqueue(&mut self, count: usize) {
        let contacts = (0..count)
            .map(|number| json!({ "contactId": (self.contacts + number).to_string(), "phoneNumber": "+14155552671" }));
        let contacts = contacts.collect();
        self.contacts += count;
        let campaign = self.dice.pick(&self.campaigns).unwrap().clone();
        enqueue(self.node, &self.token, &campaign, contacts).await;
    }

    async fn update(&mut self, patch: Value) {
        let campaign = self.dice.pick(&self.campaigns).unwrap();
        self.node.data(&self.token, UPDATE, json!({ "id": campaign, "patch": patch })).await;
    }

    /// Ends the call that has the slot.
    async fn end(&mut self, sql: &mut PgConnection) {
        let call: Option<Uuid> =
            sqlx::query_scalar("select call_id from switchboard.active_calls where company_id = $1")
                .bind(self.company)
                .fetch_optional(sql)
                .await
                .unwrap();
        let reason = if self.dice.below(2) == 0 { "BUSY" } else { "COMPLETED" };
        if let Some(call) = call {
            self.run(REPORT, json!({ "callId": call, "status": "ENDED", "endReason": reason })).await;
        }
    }

    async fn step(&mut self, sql: &mut PgConnection, moved: &mut i64) {
        match self.dice.below(20) {
            0..=5 => {
                initiate(self.node, &self.token, direct(USER)).await;
            }
            6..=8 => {
                let count = 1 + self.dice.below(5);
                self.enqueue(count).await;
            }
            9..=11 => {
                if let Some(id) = self.some_item(sql).await {
                    self.node.run(&self.token, CANCEL, json!({ "id": id })).await;
                }
            }
            12..=15 => self.end(sql).await,
            16 => {
                let status = if self.dice.below(3) == 0 { "PAUSED" } else { "ACTIVE" };
                self.update(json!({ "status": status })).await;
            }
            17 => {
                let weight = 1 + self.dice.below(5);
                self.update(json!({ "weight": weight })).await;
            }
            18 => {
                // Retries come due, and campaigns have waited for long enough.
                *moved += if self.dice.below(2) == 0 { 61 } else { 601 };
                self.app.advance(*moved).await;
                self.node.app.waker.wake();
            }
            _ if self.dice.below(4) == 0 => {
                let campaign = self.dice.pick(&self.campaigns).unwrap();
                let waiting: i32 = sqlx::query_scalar(
                    "select n + retries from switchboard.call_queue_line where company_id = $1 and id = $2::uuid",
                )
                .bind(self.company)
                .bind(campaign)
                .fetch_one(sql)
                .await
                .unwrap();
                self.run(CANCEL_ALL, json!({ "userId": USER, "campaignId": campaign, "expected": waiting })).await;
            }
            _ => {}
        }
    }
}

async fn prepare<'a>(app: &'a TestApp, node: &'a Node, seed: u64) -> Sequence<'a> {
    let company = other_company(app).await;
    let (token, mut dice) = (service_of(company), Dice::new(seed));
    limit(node, &token, USER, 1, 10).await;
    initiate(node, &token, direct(USER)).await;
    let mut campaigns = Vec::new();
    for _ in 0..=dice.below(4) {
        let campaign =
            json!({ "userId": USER, "weight": 1 + dice.below(5), "maxRetries": 2, "retryIntervalMinutes": 1 });
        campaigns.push(create(node, &token, campaign).await);
    }
    Sequence { app, node, token, company, campaigns, contacts: 0, dice }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_the_order_of_dispatch_whatever_happened_before() {
    let seed = Seed::from_env("SWITCHBOARD_PLACE_SEED");
    let app = TestApp::new().await;
    let node = app.node_with(&["--slot-lease", "24h", "--queue-aging", "10m"]).await;
    let mut sql = app.sql().await;
    let (mut moved, mut compared, mut blocked) = (0, 0, 0);
    for number in 0..SEQUENCES {
        let mut sequence = prepare(&app, &node, seed.value + number).await;
        for step in 0..STEPS {
            sequence.step(&mut sql, &mut moved).await;
            if step % STRIDE == STRIDE - 1 {
                let (places, not_now) = compare(&mut sql, sequence.company).await;
                compared += places;
                blocked += not_now;
            }
        }
    }
    println!("{compared} places, {blocked} of items that may not be dispatched now");
    assert!(compared > 200 && blocked > 10, "{compared} places, {blocked} blocked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_in_a_long_line_with_many_holes_is_the_count_of_those_before() {
    let seed = Seed::from_env("SWITCHBOARD_PLACE_SEED");
    let app = TestApp::new().await;
    let node = app.node_with(&["--slot-lease", "24h", "--queue-aging", "10m"]).await;
    let mut sql = app.sql().await;
    let mut sequence = prepare(&app, &node, seed.value).await;
    sequence.campaigns.truncate(1);
    // Its numbers pass the end of a large block.
    sqlx::query(
        "update switchboard.call_queue_line set head = 65100, tail = 65099 where company_id = $1 and id = $2::uuid",
    )
    .bind(sequence.company)
    .bind(&sequence.campaigns[0])
    .execute(&mut sql)
    .await
    .unwrap();
    sequence.enqueue(1_400).await;
    for _ in 0..3 {
        for _ in 0..60 {
            let Some(id) = sequence.some_item(&mut sql).await else { break };
            sequence.node.run(&sequence.token, CANCEL, json!({ "id": id })).await;
        }
        for _ in 0..20 {
            sequence.end(&mut sql).await;
        }
        // One campaign and no direct call: its items are dispatched by their numbers.
        let (counted, wrong): (i64, i64) = sqlx::query_as(
            "select count(*), count(*) filter (where told.position <> place or told.position_in_type <> place)
             from (
                 select id, row_number() over (order by number) as place
                 from switchboard.call_queue
                 where company_id = $1 and call_type = 'CAMPAIGN' and status = 'QUEUED' and number is not null
             ) as item
             cross join lateral switchboard.call_queue_position($1, item.id, switchboard.now()) as told",
        )
        .bind(sequence.company)
        .fetch_one(&mut sql)
        .await
        .unwrap();
        assert!(counted > 1_000 && wrong == 0, "{wrong} of {counted}");
    }
}
