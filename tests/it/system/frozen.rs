//! Links to the database that freeze: nothing arrives on them any more, and nobody says so. New ones work.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::Connection as _;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::support::{
    app::{Node, TestApp, visitor},
    chat::{CREATE_RACE, RACE, ada_and_ben, chat_of, race_input},
    client::Client,
    locks::until_waiting,
    proxy::Proxy,
};

const PATIENCE: Duration = Duration::from_secs(30);
const CHAT: &str = "query($chat: UUID!) { chat(id: $chat) { id status } }";

async fn report(node: &Client) -> Value {
    reqwest::get(node.url("/ready")).await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_links_froze_in_use_requests_and_timers_go_on_within_their_deadline_and_ready_says_so_meanwhile() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.database.options()).await;
    let flags = [
        "--statement-timeout",
        "2s",
        "--lock-timeout",
        "2s",
        "--listener-probe",
        "1s",
        "--ready-age",
        "1s",
        "--timer-poll",
        "100ms",
    ];
    let node = Node::start(proxy.options(&app.database.options()), &flags).await;
    let (eve, [ada, _]) = (visitor("eve"), ada_and_ben());
    let key = Uuid::new_v4();
    let race = node.data(&eve, CREATE_RACE, race_input(key)).await["race"].take();
    let chat = chat_of(&race, 0);
    assert_eq!(report(&node).await["ready"], true);

    // Reads, writes and the scheduler's look are under way when the links freeze.
    let mut blocker = app.sql().await;
    let mut held = blocker.begin().await.unwrap();
    sqlx::raw_sql("lock table switchboard.chat, switchboard.timer, switchboard.contract in access exclusive mode")
        .execute(&mut *held)
        .await
        .unwrap();
    let calls: Vec<_> = (0..8)
        .map(|number| {
            let (client, eve, ada) = (Client::new(node.app.address), eve.clone(), ada.clone());
            tokio::spawn(async move {
                match number % 2 {
                    0 => client.run(&ada, CHAT, json!({ "chat": chat })).await,
                    _ => client.run(&eve, CREATE_RACE, race_input(Uuid::new_v4())).await,
                }
            })
        })
        .collect();
    until_waiting(&mut app.sql().await, 3).await;
    proxy.freeze_open();
    let frozen_at = Instant::now();
    held.rollback().await.unwrap();
    app.advance(3_600).await;

    let mut timers_failed = false;
    let well = async {
        loop {
            let report = report(&node).await;
            timers_failed |= report["timers"] == false;
            if timers_failed && report["ready"] == true {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, well).await.unwrap_or_else(|_| panic!("timers failed: {timers_failed}, and ready again: never"));
    // The deadline is a second above the statement's two; the rest is this machine's.
    assert!(frozen_at.elapsed() < Duration::from_secs(8), "{:?}", frozen_at.elapsed());
    let expired = async {
        while node.data(&eve, RACE, json!({ "key": key })).await["state"] != "EXPIRED" {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), expired).await.expect("the timer fires");
    let asked = Instant::now();
    assert_eq!(node.data(&ada, CHAT, json!({ "chat": chat })).await["status"], "FINISHED");
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    for call in calls {
        let answer = timeout(PATIENCE, call).await.expect("nobody waits for ever").unwrap();
        assert!(["", "UNAVAILABLE"].contains(&answer.code()), "{answer:?}");
    }
    println!("ready again {:?} after the links froze", frozen_at.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_links_that_froze_cost_a_request_a_second_at_most() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.database.options()).await;
    let node = Node::start(proxy.options(&app.database.options()), &[]).await;
    let (eve, [ada, _]) = (visitor("eve"), ada_and_ben());
    let races =
        futures_util::future::join_all((0..12).map(|_| node.data(&eve, CREATE_RACE, race_input(Uuid::new_v4())))).await;
    let chat = chat_of(&races[0]["race"], 0);
    node.data(&ada, CHAT, json!({ "chat": chat })).await;
    // The pool asks connections that have rested for a second whether they live.
    sleep(Duration::from_millis(1_100)).await;
    proxy.freeze_open();
    let asked = Instant::now();
    assert_eq!(node.data(&ada, CHAT, json!({ "chat": chat })).await["status"], "ACTIVE");
    node.data(&eve, CREATE_RACE, race_input(Uuid::new_v4())).await;
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}
