//! Random clients on two servers, one of which is killed again and again: what they recorded must be the history of calls
//! that have one life each.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{HANG_UP, REPORT, register};
use crate::support::{
    app::{TestApp, service},
    client::Client,
    dice::Dice,
    process::Process,
};

const BEGIN: &str =
    "mutation($input: BeginCallOperationInput!) { beginCallOperation(input: $input) { outcome operation {
    id fencingToken } } }";
const DONE: &str = "mutation($input: CompleteCallOperationInput!) { completeCallOperation(input: $input) {
    completed callActive } }";
const APPEND: &str =
    "mutation($input: AppendCallMessageInput!) { appendCallMessage(input: $input) { message { id } } }";
const FINALIZE: &str = "mutation($input: FinalizeCallInput!) { finalizeCall(input: $input) { outcome } }";
const TRANSCRIPT: &str = "query($name: String) { call(callControlId: $name) { status finalizedAt generation
    messages(first: 100) { nodes { id } } } }";

const CLIENTS: usize = 24;
const CALLS: usize = 60;
const STEPS: usize = 90;
const KILLS: usize = 4;

/// Something that a client was told, between two moments of a counter that all clients share: it was asked after the first
/// and answered before the second.
#[derive(Debug)]
struct Told {
    call: usize,
    asked: u64,
    answered: u64,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Begun {
        kind: &'static str,
        token: String,
    },
    /// Of an operation that was begun.
    Completed {
        kind: &'static str,
        token: String,
    },
    Over,
    HungUp,
    Appended(String),
    Finalized,
}

#[derive(Default)]
struct Histories {
    clock: AtomicU64,
    told: Mutex<Vec<Told>>,
    done: AtomicBool,
}

fn name(call: usize) -> String {
    format!("v3:{call}")
}

impl Histories {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Asks a server that may be killed meanwhile; the answer's one field and when it came. `None`: an expected refusal, or
    /// nobody knows.
    async fn ask(&self, client: &Client, document: &str, input: Value) -> Option<Value> {
        let mut answer = client.try_run(&service(), document, json!({ "input": input })).await.ok()?;
        if !answer.code().is_empty() {
            assert!(["CONFLICT", "UNAVAILABLE"].contains(&answer.code()), "{answer:?}");
            return None;
        }
        answer.body["data"].as_object_mut()?.values_mut().next().map(Value::take)
    }

    fn note(&self, call: usize, asked: u64, what: What) {
        let answered = self.tick();
        self.told.lock().unwrap().push(Told { call, asked, answered, what });
    }

    /// One client: speaks, streams, writes, reports, hangs up and closes calls, in a random order.
    async fn client(&self, number: usize, servers: &[watch::Receiver<Client>; 2]) {
        let mut dice = Dice::new(number as u64);
        for step in 0..STEPS {
            // Calls end one after the other, so that each is used for a while by several clients.
            let call = (step * CALLS / STEPS + dice.below(3)).min(CALLS - 1);
            let client = servers[dice.below(2)].borrow().clone();
            let asked = self.tick();
            match dice.below(12) {
                0..=5 => self.work(&client, call, if dice.below(2) == 0 { "SPEECH" } else { "STREAM" }, asked).await,
                6..=7 => {
                    let input =
                        json!({ "callControlId": name(call), "role": "caller", "text": format!("{number}/{step}") });
                    if let Some(written) = self.ask(&client, APPEND, input).await {
                        let id = written["message"]["id"].as_str().unwrap().to_owned();
                        self.note(call, asked, What::Appended(id));
                    }
                }
                8 => {
                    let input = json!({ "callControlId": name(call), "status": "IN_PROGRESS" });
                    self.ask(&client, REPORT, input).await;
                }
                9 => {
                    let input = json!({ "callControlId": name(call), "reason": "test" });
                    if let Some(hung_up) = self.ask(&client, HANG_UP, input).await {
                        self.note(call, asked, What::Over);
                        if hung_up["outcome"] == "INITIATED" {
                            self.note(call, asked, What::HungUp);
                        }
                    }
                }
                10 => {
                    let input = json!({ "callControlId": name(call), "status": "ENDED" });
                    if self.ask(&client, REPORT, input).await.is_some() {
                        self.note(call, asked, What::Over);
                    }
                }
                _ => {
                    let input = json!({ "callControlId": name(call), "drainMs": dice.below(300) });
                    if let Some(closed) = self.ask(&client, FINALIZE, input).await
                        && closed["outcome"] == "FINALIZED"
                    {
                        self.note(call, asked, What::Finalized);
                    }
                }
            }
        }
    }

    /// Begins an operation and completes it.
    async fn work(&self, client: &Client, call: usize, kind: &'static str, asked: u64) {
        let input =
            json!({ "callControlId": name(call), "kind": kind, "requestId": format!("{asked}"), "leaseMs": 1_500 });
        let Some(mut begun) = self.ask(client, BEGIN, input).await else { return };
        if begun["outcome"] == "CALL_ENDED" {
            return self.note(call, asked, What::Over);
        }
        if begun["outcome"] != "BEGUN" {
            return;
        }
        let operation = begun["operation"].take();
        let token = operation["fencingToken"].as_str().unwrap().to_owned();
        self.note(call, asked, What::Begun { kind, token: token.clone() });
        tokio::task::yield_now().await;
        let asked = self.tick();
        let input = json!({ "operationId": operation["id"], "fencingToken": token });
        let Some(done) = self.ask(client, DONE, input).await else { return };
        if done["completed"] == true {
            self.note(call, asked, What::Completed { kind, token });
        }
        if done["callActive"] == false {
            self.note(call, asked, What::Over);
        }
    }
}

/// Serves, and is killed and started again, until the clients are done.
async fn victim(url: String, address: watch::Sender<Client>, first: Process, histories: Arc<Histories>) {
    let mut process = first;
    for _ in 0..KILLS {
        let until = histories.clock.load(Ordering::SeqCst) + 200;
        while histories.clock.load(Ordering::SeqCst) < until && !histories.done.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        process.kill().await;
        process = Process::serve(&url, &[]).await;
        address.send_replace(process.client.clone());
    }
    while !histories.done.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// From when until when an operation was held at least, and its token.
type Tenure<'a> = (u64, u64, &'a str);

/// One of a kind at a time: what was completed was held alone, and tokens grow in the order in which it was held.
fn check_operations(told: &[Told]) {
    let mut held: HashMap<(usize, &str), Vec<Tenure<'_>>> = HashMap::new();
    for done in told {
        let What::Completed { kind, token } = &done.what else { continue };
        let is_beginning = |it: &&Told| it.what == What::Begun { kind, token: token.clone() } && it.call == done.call;
        let begun = told.iter().find(is_beginning).expect("completed without a beginning");
        held.entry((done.call, kind)).or_default().push((begun.answered, done.asked, token));
    }
    assert!(held.values().map(Vec::len).sum::<usize>() > CALLS, "too little was done");
    for ((call, kind), mut held) in held {
        held.sort_unstable();
        for pair in held.windows(2) {
            let [(_, to, earlier), (from, _, later)] = pair else { unreachable!() };
            assert!(to < from && earlier < later, "two at once on call {call}, {kind}: {pair:?}");
        }
    }
}

/// Nothing begins on a call of which anybody had been told that it is over.
fn check_ends(told: &[Told]) {
    for call in 0..CALLS {
        let of_call = || told.iter().filter(|told| told.call == call);
        let over = of_call().filter(|told| told.what == What::Over).map(|told| told.answered).min();
        let is_late = |told: &&Told| over.is_some_and(|over| told.asked > over);
        let late: Vec<&Told> =
            of_call().filter(is_late).filter(|told| matches!(told.what, What::Begun { .. })).collect();
        assert!(late.is_empty(), "begun on call {call}, over since {over:?}: {late:?}");
        for once in [What::HungUp, What::Finalized] {
            assert!(of_call().filter(|told| told.what == once).count() <= 1, "{once:?} twice on call {call}");
        }
        let closed = of_call().find(|told| told.what == What::Finalized).map(|told| told.answered);
        let is_late = |told: &&Told| closed.is_some_and(|closed| told.asked > closed);
        let late: Vec<&Told> =
            of_call().filter(is_late).filter(|told| matches!(told.what, What::Appended(_))).collect();
        assert!(late.is_empty(), "written into the closed transcript of call {call}: {late:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_clients_on_two_servers_one_of_which_is_killed_see_calls_with_one_life() {
    let app = TestApp::new().await;
    let (node, token) = (app.node().await, service());
    for call in 0..CALLS {
        register(&node, &token, &name(call)).await;
    }
    let first = Process::serve(&app.database.url(), &[]).await;
    let (of_victim, seen_victim) = watch::channel(first.client.clone());
    let (_of_node, seen_node) = watch::channel(Client::new(node.app.address));
    let histories = Arc::new(Histories::default());
    let killing = tokio::spawn(victim(app.database.url(), of_victim, first, Arc::clone(&histories)));
    let servers = [seen_node, seen_victim];
    join_all((0..CLIENTS).map(|number| histories.client(number, &servers))).await;
    histories.done.store(true, Ordering::SeqCst);
    killing.await.unwrap();

    let told = std::mem::take(&mut *histories.told.lock().unwrap());
    println!("{} requests, {} of them told something", CLIENTS * STEPS, told.len());
    check_operations(&told);
    check_ends(&told);
    let mut written = 0;
    for call in 0..CALLS {
        let now = node.data(&token, TRANSCRIPT, json!({ "name": name(call) })).await;
        let lines: Vec<&str> =
            now["messages"]["nodes"].as_array().unwrap().iter().map(|line| line["id"].as_str().unwrap()).collect();
        for told in told.iter().filter(|told| told.call == call) {
            if let What::Appended(id) = &told.what {
                assert!(lines.contains(&id.as_str()), "a message that was answered is not in the transcript");
                written += 1;
            }
        }
        let is_over = now["status"] == "ENDING" || now["status"] == "ENDED";
        assert_eq!(now["generation"], if is_over { 2 } else { 1 }, "raised once, by the end");
    }
    assert!(written > CALLS, "too little was written");

    // No operation runs on a call that was finalized, and numbers have no holes.
    let mut sql = app.sql().await;
    let broken: Vec<String> = sqlx::query_scalar(
        "select 'runs on a finalized call: ' || operation.id
         from call_operation as operation
         join call on call.company_id = operation.company_id and call.id = operation.call_id
         where operation.state = 'RUNNING' and call.finalized_at is not null
         union all
         select 'began after the end: ' || operation.id
         from call_operation as operation
         join call on call.company_id = operation.company_id and call.id = operation.call_id
         where operation.generation = call.generation and call.status in ('ENDING', 'ENDED')
         union all
         select 'a hole in the events of ' || subject_type || ' ' || subject_id
         from event where subject_type like 'call%'
         group by subject_type, subject_id having count(*) <> max(version) or min(version) <> 1",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    assert_eq!(broken, Vec::<String>::new());
}
