//! Many clients on three servers, which are killed again and again, race for a few slots. What happened is checked by a
//! small model, from the order in which it happened, from the log and from what the clients were told.
//!
//! A run takes half a minute. `SWITCHBOARD_RACE_SECONDS` sets another time, `SWITCHBOARD_RACE_SEED` repeats one.

mod clients;
mod model;
mod recorder;

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::sync::watch;
use uuid::Uuid;

use self::{
    clients::{Field, Told},
    model::{Counts, Model, Rules},
    recorder::Happened,
};
use super::limit;
use crate::support::{
    app::{Node, TestApp, service_of},
    client::Client,
    dice::{Dice, Seed},
    process::Process,
};

const CREATE: &str =
    "mutation($campaign: CampaignInput!) { createCampaign(input: { campaign: $campaign }) { campaign { id } } }";

const CLIENTS: u64 = 64;
const STEPS: usize = 6;
/// How long races begin.
const SECONDS: u64 = 25;
/// Between two kills.
const LIFE: Duration = Duration::from_secs(3);
const FLAGS: [&str; 4] = ["--slot-lease", "90s", "--queue-aging", "10s"];
const RULES: Rules = Rules { user_calls: 2, system_calls: 10, aging: time::Duration::seconds(10) };

/// What must hold of a company after every commit: counters are what they count.
const CONSISTENT: &str = "
    select 'slots of ' || company_id || ': ' || to_jsonb(slots)::text || (
        select coalesce(jsonb_agg(slot), '[]')::text from switchboard.active_calls as slot where slot.company_id = slots.company_id)
    from switchboard.call_slots as slots
    where company_id = $1 and (
        active <> (select count(*) from switchboard.active_calls where company_id = slots.company_id)
        or users <> (select count(*) from switchboard.call_queue_user where company_id = slots.company_id and is_busy)
        or (active < coalesce(system_limit, 10) and exists (
            select 1 from switchboard.call_queue_user where company_id = slots.company_id and may_dispatch)))
    union all
    select 'user ' || to_jsonb(owner)::text || ' with lines ' || to_jsonb(line)::text
    from switchboard.call_queue_user as owner
    join lateral (
        select coalesce(sum(n) filter (where is_open), 0) as waiting,
            coalesce(sum(n + retries) filter (where campaign_id is null), 0) as direct,
            coalesce(sum(n + retries) filter (where campaign_id is not null), 0) as campaign
        from switchboard.call_queue_line as line
        where line.company_id = owner.company_id and line.user_id = owner.user_id
    ) as line on true
    where owner.company_id = $1 and (
        active_direct + active_campaign <> (select count(*) from switchboard.active_calls as slot
            where slot.company_id = owner.company_id and slot.user_id = owner.user_id)
        or queued_direct <> direct or queued_campaign <> campaign
        or is_waiting <> (waiting > 0)
        or may_dispatch <> (waiting > 0 and active_direct + active_campaign < coalesce(call_limit, 2)))
    union all
    select 'line ' || to_jsonb(line)::text
    from switchboard.call_queue_line as line
    where company_id = $1 and (n <> (select count(*) from switchboard.call_queue as item
            where item.company_id = line.company_id and item.line_id = line.id and status = 'QUEUED'
                and number > line.canceled_through)
        or retries <> (select count(*) from switchboard.call_queue as item
            where item.company_id = line.company_id and item.line_id = line.id and status = 'QUEUED'
                and number is null and coalesce(item.requeued_at > line.canceled_at, true)))";

/// What must hold of a company's log and tables when everything has ended.
const ENDED: &str = "
    select 'has not ended: call ' || id from switchboard.call where company_id = $1 and status <> 'ENDED'
    union all
    select 'waits: item ' || id from switchboard.call_queue where company_id = $1 and status in ('QUEUED', 'PROCESSING')
    union all
    select 'campaign ' || id from switchboard.campaign as campaign
    where company_id = $1 and (queued, processing, completed + failed + canceled + skipped) is distinct from (0, 0, (
        select count(*) from switchboard.call_queue where company_id = $1 and campaign_id = campaign.id))
    union all
    select 'a hole in the events of ' || subject_id from switchboard.event
    where company_id = $1 and subject_type = 'call'
    group by subject_id having count(*) <> max(version) or min(version) <> 1
    union all
    select 'dispatched ' || count(*) filter (where type = 'CallDispatched') || ' times: ' || subject_id
    from switchboard.event where company_id = $1 and subject_type = 'call'
    group by subject_id having count(*) filter (where type = 'CallDispatched') > 1";

async fn none_broken(sql: &PgPool, query: &'static str, company: Uuid) {
    let broken: Vec<String> = sqlx::query_scalar(query).bind(company).fetch_all(sql).await.unwrap();
    if !broken.is_empty() {
        for happened in recorder::history(sql, company).await {
            println!("{happened:?}");
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

/// The test's servers and database.
struct Arena {
    app: TestApp,
    node: Node,
    servers: Vec<watch::Receiver<Client>>,
    sql: PgPool,
    moved: AtomicI64,
}

impl Arena {
    /// Moves the clock past the next retries, and has timers looked at. No transaction of the company's queue sees it move.
    async fn later(&self, company: Uuid) {
        let seconds = self.moved.fetch_add(61, Ordering::SeqCst) + 61;
        let mut transaction = self.sql.begin().await.unwrap();
        sqlx::query("select switchboard.call_slots_lock($1)").bind(company).execute(&mut *transaction).await.unwrap();
        self.app.advance(seconds).await;
        transaction.commit().await.unwrap();
        self.node.app.waker.wake();
    }

    /// One race: a company of its own, with so many slots.
    async fn race(&self, seed: u64) -> Counts {
        let mut dice = Dice::new(seed);
        let company: Uuid = sqlx::query_scalar(
            "insert into switchboard.company (id, name) values (gen_random_uuid(), 'Race') returning id",
        )
        .fetch_one(&self.sql)
        .await
        .unwrap();
        let (token, users) = (service_of(company), 1 + dice.below(5));
        let slots = i32::try_from(1 + dice.below(10)).unwrap();
        limit(&self.node, &token, "user0", 2, slots).await;
        let mut campaigns = Vec::new();
        for number in 0..=dice.below(3) {
            let campaign = json!({ "userId": format!("user{}", dice.below(users)), "agentId": "agent",
                "name": number.to_string(), "maxRetries": dice.below(3), "retryIntervalMinutes": 1,
                "weight": 1 + dice.below(3) });
            let created = self.node.data(&token, CREATE, json!({ "campaign": campaign })).await;
            campaigns.push(created["campaign"]["id"].as_str().unwrap().to_owned());
        }
        let field = Field {
            company,
            token,
            users,
            campaigns,
            servers: &self.servers,
            sql: &self.sql,
            told: Mutex::default(),
            items: Mutex::default(),
        };
        let done = AtomicBool::new(false);
        let clients = async {
            join_all((0..CLIENTS).map(|number| field.client(seed * 1_000 + number, STEPS))).await;
            done.store(true, Ordering::SeqCst);
        };
        let looks = async {
            while !done.load(Ordering::SeqCst) {
                none_broken(&self.sql, CONSISTENT, company).await;
                // Each move of the clock makes every session plan its statements anew.
                if dice.below(8) == 0 {
                    self.later(company).await;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::join!(clients, looks);
        field.drain(&self.node, async || self.later(company).await).await;
        self.check(&field).await
    }

    /// Checks the history, the log, and what clients were told.
    async fn check(&self, field: &Field<'_>) -> Counts {
        let company = field.company;
        none_broken(&self.sql, CONSISTENT, company).await;
        // Rows of lines that were canceled whole are written a little later.
        for _ in 0..200 {
            let left: i64 = sqlx::query_scalar(
                "select count(*) from switchboard.call_queue where company_id = $1 and status = 'QUEUED'",
            )
            .bind(company)
            .fetch_one(&self.sql)
            .await
            .unwrap();
            if left == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        none_broken(&self.sql, ENDED, company).await;
        let history = recorder::history(&self.sql, company).await;
        let calls = async |query: &'static str| -> HashSet<Uuid> {
            sqlx::query_scalar(query).bind(company).fetch_all(&self.sql).await.unwrap().into_iter().collect()
        };
        let inbound = calls("select id from switchboard.call where company_id = $1 and inbound").await;
        let model = Model::replay(RULES, &inbound, &history);
        model.check_ended();
        let dispatched = calls(
            "select subject_id::uuid from switchboard.event
             where company_id = $1 and subject_type = 'call' and type = 'CallDispatched'",
        )
        .await;
        let of = |what: &str| history.iter().filter(move |it| it.what == what).collect::<Vec<&Happened>>();
        let taken: HashSet<Uuid> = of("taken").iter().map(|it| it.call).filter(|it| !inbound.contains(it)).collect();
        assert_eq!(taken, dispatched, "slots and the log");
        check_told(&field.told.lock().unwrap(), &history);
        model.counts
    }
}

/// What clients were told is what happened, whatever was killed afterwards.
fn check_told(told: &[Told], history: &[Happened]) {
    for told in told {
        let is = |what: &'static str, item: Uuid| {
            move |it: &&Happened| it.what == what && it.item.is_some_and(|found| found == item)
        };
        let last = |what, item| history.iter().rfind(is(what, item)).map(|it| it.seq);
        match told {
            Told::Started(call) => {
                assert!(
                    history.iter().any(|it| it.what == "taken" && it.item.is_none() && it.call == *call),
                    "{told:?}"
                );
            }
            Told::Queued(item) => assert!(last("queued", *item).is_some(), "{told:?}"),
            Told::TooLate(item) => assert!(last("dispatched", *item).is_some(), "{told:?}"),
            Told::Canceled(item) => {
                let canceled = last("canceled", *item);
                assert!(canceled.is_some() && last("dispatched", *item) < canceled, "{told:?}");
            }
        }
    }
}

/// Serves; is killed by `kill -9` and started again, in turns with the others, until the races are over.
async fn live(
    url: String,
    address: watch::Sender<Client>,
    first: Process,
    first_life: Duration,
    done: watch::Receiver<bool>,
) -> usize {
    let (mut process, mut life, mut kills) = (first, first_life, 0);
    let mut over = done.clone();
    while tokio::time::timeout(life, over.wait_for(|done| *done)).await.is_err() {
        process.kill().await;
        kills += 1;
        process = Process::serve(&url, &FLAGS).await;
        address.send_replace(process.client.clone());
        life = LIFE * 2;
    }
    kills
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_clients_on_three_servers_that_are_killed_see_one_fair_queue() {
    let seed = Seed::from_env("SWITCHBOARD_RACE_SEED");
    let seconds = std::env::var("SWITCHBOARD_RACE_SECONDS").ok().map_or(SECONDS, |value| value.parse().unwrap());
    let app = TestApp::new().await;
    recorder::install(&mut app.sql().await).await;
    let sql = PgPoolOptions::new().max_connections(8).connect_lazy_with(app.database.options());
    let node = app.node_with(&FLAGS).await;
    let (_keep, of_node) = watch::channel(Client::new(node.app.address));
    let (over, done) = watch::channel(false);
    let (mut servers, mut killing) = (vec![of_node], Vec::new());
    for number in 1..=2 {
        let process = Process::serve(&app.database.url(), &FLAGS).await;
        let (address, server) = watch::channel(process.client.clone());
        servers.push(server);
        killing.push(tokio::spawn(live(app.database.url(), address, process, LIFE * number, done.clone())));
    }
    let arena = Arena { app, node, servers, sql, moved: AtomicI64::new(0) };
    let (began, mut races, mut all) = (Instant::now(), 0, Counts::default());
    while began.elapsed() < Duration::from_secs(seconds) {
        all.add(arena.race(seed.value + races).await);
        races += 1;
    }
    over.send_replace(true);
    let kills: usize = join_all(killing).await.into_iter().map(Result::unwrap).sum();
    println!("{races} races of {CLIENTS} clients, {kills} kills: {all:?}");
    assert!(kills > 1 && all.dispatched > 50, "too little happened: {all:?}");
    arena.sql.close().await;
}
