//! Random clients on two servers, one of which is killed again and again: what they recorded must be a history of one
//! line.

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

use super::{COMPLETE, COORDINATE, completion, server};
use crate::support::{app::TestApp, client::Client, process::Process};

/// Most of them wait at any moment, which costs nothing.
const CLIENTS: usize = 40;
const CHATS: usize = 13;
const CALLS: usize = 50;
const KILLS: usize = 4;

/// What a client held: a token of a chat, from one moment to another, by a counter that all clients share.
#[derive(Debug)]
struct Held {
    chat: usize,
    token: String,
    from: u64,
    to: u64,
}

#[derive(Default)]
struct Histories {
    clock: AtomicU64,
    held: Mutex<Vec<Held>>,
    done: AtomicBool,
}

impl Histories {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// One client: coordinates, completes, sometimes gives up early or never completes.
    async fn client(&self, number: usize, servers: &[watch::Receiver<Client>; 2]) {
        let token = server("backend");
        for call in 0..CALLS {
            let dice = (number * 7 + call * 13) % 10;
            let chat = (number + call) % CHATS;
            let client = servers[(number + call) % 2].borrow().clone();
            let input = json!({
                "callType": if dice.is_multiple_of(2) { "START_CHAT" } else { "END_CHAT" },
                "requestId": format!("{number}/{call}"), "chatId": format!("chat-{chat}"),
                "waitMs": 50 + dice * 100, "leaseMs": 1_000,
            });
            let asked = client.try_run(&token, COORDINATE, json!({ "input": input })).await;
            let Ok(answer) = asked else { continue };
            if !answer.code().is_empty() {
                let expected = ["OPERATION_IN_PROGRESS", "WAIT_TIMEOUT", "UNAVAILABLE"];
                assert!(expected.contains(&answer.code()), "{answer:?}");
                continue;
            }
            let grant = answer["data"]["coordinateChatCall"]["grant"].clone();
            let from = self.tick();
            tokio::task::yield_now().await;
            let to = self.tick();
            if dice == 9 {
                // Dies with the grant; its lease ends.
                continue;
            }
            let completed = client.try_run(&token, COMPLETE, json!({ "input": completion(&grant, dice != 3) })).await;
            let is_completed = completed.is_ok_and(|answer| answer["data"]["completeChatCall"]["completed"] == true);
            if is_completed {
                // Confirmed: nobody else held the chat between the two moments.
                let token = grant["fencingToken"].as_str().unwrap().to_owned();
                self.held.lock().unwrap().push(Held { chat, token, from, to });
            }
        }
    }
}

/// Serves, and is killed and started again, until the clients are done.
async fn victim(url: String, address: watch::Sender<Client>, first: Process, histories: Arc<Histories>) {
    let mut process = first;
    for _ in 0..KILLS {
        let until = histories.clock.load(Ordering::SeqCst) + 300;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_clients_on_two_servers_one_of_which_is_killed_see_one_line() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let first = Process::serve(&app.database.url(), &[]).await;
    let (of_victim, seen_victim) = watch::channel(first.client.clone());
    let (_of_node, seen_node) = watch::channel(Client::new(node.app.address));
    let histories = Arc::new(Histories::default());
    let killing = tokio::spawn(victim(app.database.url(), of_victim, first, Arc::clone(&histories)));
    let servers = [seen_node, seen_victim];
    join_all((0..CLIENTS).map(|number| histories.client(number, &servers))).await;
    histories.done.store(true, Ordering::SeqCst);
    killing.await.unwrap();

    // Never two holders: what was held and confirmed does not overlap, and tokens grow in the order in which it was held.
    let mut held = std::mem::take(&mut *histories.held.lock().unwrap());
    assert!(held.len() > CLIENTS, "too little was held: {}", held.len());
    held.sort_by_key(|held| (held.chat, held.from));
    for pair in held.windows(2).filter(|pair| pair[0].chat == pair[1].chat) {
        assert!(pair[0].to < pair[1].from && pair[0].token < pair[1].token, "{pair:?}");
    }

    // The leases of the dead end; every hold has its end.
    app.advance(60).await;
    node.app.waker.wake();
    let mut sql = app.sql().await;
    for _ in 0..100 {
        let waiting: i64 = sqlx::query_scalar("select coalesce(sum(waiting), 0) from operation_line")
            .fetch_one(&mut sql)
            .await
            .unwrap();
        if waiting == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let events: Vec<(String, i32, String, Value)> = sqlx::query_as(
        "select subject_id, version, type, payload::jsonb from event where subject_type = 'operation'
         order by subject_id, version",
    )
    .fetch_all(&mut sql)
    .await
    .unwrap();
    let mut open: HashMap<String, (String, usize)> = HashMap::new();
    let mut granted: HashMap<&str, usize> = HashMap::new();
    for (at, (chat, _, event_type, payload)) in events.iter().enumerate() {
        if !event_type.contains("ChatCoordinationHold_") {
            continue;
        }
        let waiter = payload["requestId"].as_str().unwrap().to_owned();
        if event_type.ends_with("_Start") {
            assert!(open.insert(waiter, (chat.clone(), at)).is_none(), "begun twice: {payload}");
            continue;
        }
        let (_, began) = open.remove(&waiter).unwrap_or_else(|| panic!("ended without a beginning: {payload}"));
        if event_type.ends_with("_Complete") {
            let last = granted.insert(chat, began);
            assert!(last.is_none_or(|last| last < began), "not first come, first served: {payload}");
        }
    }
    println!("{} calls, {} held and confirmed, {} events of holds", CLIENTS * CALLS, held.len(), events.len());
    assert!(open.is_empty(), "holds without an end: {open:?}");
    assert!(!granted.is_empty(), "nobody ever waited");
}
