//! Many callers at once where one row is locked: nobody beside it waits, callers that give up leave nothing behind, and what
//! waits is bounded.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use switchboard::demo;
use tokio::{task::JoinHandle, time::timeout};
use uuid::Uuid;

use crate::support::{
    app::{Node, TestApp, service, visitor},
    chat::{CREATE_CHAT, CREATE_RACE, chat_input, contract_of, other_shift, race_input},
    client::{Answer, Client},
    locks::{until_waiting, waiting},
};

const PATIENCE: Duration = Duration::from_secs(30);
const UPDATE_CONTRACT: &str = "mutation($id: UUID!, $agent: UUID!) {
    updateContract(input: {id: $id, patch: {agentId: $agent}}) { contract { id } } }";

/// Locks a contract as a hand-over to another agent does.
async fn hand_over(connection: &mut PgConnection, contract: Uuid) -> Transaction<'_, Postgres> {
    let mut held = connection.begin().await.unwrap();
    sqlx::query("select from contract where company_id = $1 and id = $2 for update")
        .bind(demo::COMPANY_ID)
        .bind(contract)
        .execute(&mut *held)
        .await
        .unwrap();
    held
}

/// Waits until so many requests are under way in this process's servers.
async fn until_in_flight(node: &Node, least: f64) {
    let arrived = async {
        loop {
            let text = reqwest::get(node.url("/metrics")).await.unwrap().text().await.unwrap();
            let gauges = text.lines().filter_map(|line| line.strip_prefix("switchboard_http_requests_in_flight"));
            if gauges.filter_map(|gauge| gauge.split(' ').next_back()?.parse::<f64>().ok()).sum::<f64>() >= least {
                break;
            }
        }
    };
    timeout(PATIENCE, arrived).await.expect("they arrive");
}

fn call(node: &Node, token: &str, document: &'static str, variables: Value) -> JoinHandle<Answer> {
    let (client, token) = (Client::clone(node), token.to_owned());
    tokio::spawn(async move { client.run(&token, document, variables).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_that_is_being_handed_over_delays_no_other_contracts_offers() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let shift = other_shift(&node).await;
    let (locked, free) = (contract_of(0, shift), contract_of(1, shift));
    let mut other_session = app.sql().await;
    let held = hand_over(&mut other_session, locked).await;
    let stuck: Vec<_> = (0..40)
        .map(|number| call(&node, &visitor(&format!("v{number}")), CREATE_CHAT, chat_input(Uuid::new_v4(), locked)))
        .collect();
    until_waiting(&mut app.sql().await, 1).await;
    let began = std::time::Instant::now();
    for number in 0..40 {
        let created = node.data(&visitor(&format!("w{number}")), CREATE_CHAT, chat_input(Uuid::new_v4(), free)).await;
        assert_eq!(created["chat"]["status"], "ACTIVE");
    }
    println!("40 createChat beside a locked contract: {:?}", began.elapsed());
    assert!(stuck.iter().all(|call| !call.is_finished()), "the contract is locked still");
    held.rollback().await.unwrap();
    for answer in join_all(stuck).await {
        assert_eq!(answer.unwrap()["data"]["createChat"]["chat"]["status"], "ACTIVE");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_of_callers_that_gave_up_do_not_go_out_afterwards() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--lock-timeout", "60s", "--statement-timeout", "60s"]).await;
    let shift = other_shift(&node).await;
    let locked = contract_of(0, shift);
    let mut other_session = app.sql().await;
    let held = hand_over(&mut other_session, locked).await;
    let calls: Vec<_> = (0..100)
        .map(|number| call(&node, &visitor(&format!("v{number}")), CREATE_CHAT, chat_input(Uuid::new_v4(), locked)))
        .collect();
    // Fewer than half of the batches' connections wait for locks; the other calls wait in this process.
    until_waiting(&mut app.sql().await, 3).await;
    until_in_flight(&node, 100.0).await;
    // Behind all of them: they have found the contract locked.
    node.data(&service(), CREATE_CHAT, chat_input(Uuid::new_v4(), contract_of(1, shift))).await;
    for call in &calls {
        call.abort();
    }
    join_all(calls).await;
    // The server learns of it when the sockets close; what it is asked now comes after that.
    for _ in 0..5 {
        node.data(&service(), CREATE_RACE, race_input(Uuid::new_v4())).await;
    }
    let session = node.data(&service(), CREATE_CHAT, chat_input(Uuid::new_v4(), contract_of(1, shift))).await;
    assert_eq!(session["chat"]["status"], "ACTIVE", "there are connections for others");
    held.rollback().await.unwrap();
    // Behind whatever still waits for this contract.
    node.data(&service(), CREATE_CHAT, chat_input(Uuid::new_v4(), locked)).await;
    let offered: i64 = sqlx::query_scalar("select count(*) from chat where contract_id = $1 and visitor like 'v%'")
        .bind(locked)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    println!("of 100 offers whose callers gave up, {offered} went out");
    assert!(offered <= 16, "{offered}: only those whose batch had begun");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_of_one_record_hold_one_connection_also_after_they_gave_up() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let shift = other_shift(&node).await;
    let (locked, free) = (contract_of(0, shift), contract_of(1, shift));
    let mut other_session = app.sql().await;
    let held = hand_over(&mut other_session, locked).await;
    let hand_over_to = |contract: Uuid| json!({ "id": contract, "agent": demo::AGENTS[1].1 });
    let calls: Vec<_> = (0..30).map(|_| call(&node, &service(), UPDATE_CONTRACT, hand_over_to(locked))).collect();
    let mut observer = app.sql().await;
    until_waiting(&mut observer, 1).await;
    for call in &calls {
        call.abort();
    }
    join_all(calls).await;
    for _ in 0..20 {
        node.data(&service(), CREATE_RACE, race_input(Uuid::new_v4())).await;
        node.data(&service(), UPDATE_CONTRACT, hand_over_to(free)).await;
        assert!(waiting(&mut observer).await <= 3, "one for the record, and the race that offers it its chat");
    }
    held.rollback().await.unwrap();
    node.data(&service(), UPDATE_CONTRACT, hand_over_to(locked)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_beyond_the_queue_are_refused_at_once_with_a_time_to_retry() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--batch-queue", "10"]).await;
    let mut blocker = app.sql().await;
    let mut held = blocker.begin().await.unwrap();
    sqlx::raw_sql("lock table switchboard.chat_race in access exclusive mode").execute(&mut *held).await.unwrap();
    let token = service();
    let shift = other_shift(&node).await;
    let free = contract_of(0, shift);
    // One batch for each worker of the partition, begun one after the other, each as large as what runs.
    let mut first = Vec::new();
    for (size, busy) in [1, 1, 2, 4].into_iter().zip(1..) {
        first.extend((0..size).map(|_| call(&node, &token, CREATE_CHAT, chat_input(Uuid::new_v4(), free))));
        until_waiting(&mut app.sql().await, busy).await;
    }
    let mut others: Vec<_> =
        (0..40).map(|_| call(&node, &token, CREATE_CHAT, chat_input(Uuid::new_v4(), free))).collect();
    let mut refused = 0;
    while refused < 35 {
        let (answer, _, left) = timeout(PATIENCE, futures_util::future::select_all(others)).await.expect("at once");
        let answer = answer.unwrap();
        assert_eq!(answer.code(), "RATE_LIMITED", "{answer:?}");
        assert!(answer["errors"][0]["extensions"]["retryAfterMs"].as_u64().is_some_and(|ms| ms > 0), "{answer:?}");
        refused += 1;
        others = left;
    }
    // One caller has half of the places; another finds room.
    let visitor = call(&node, &visitor("eve"), CREATE_CHAT, chat_input(Uuid::new_v4(), free));
    held.rollback().await.unwrap();
    for answer in join_all(first.into_iter().chain(others).chain([visitor])).await {
        assert_eq!(answer.unwrap()["data"]["createChat"]["chat"]["status"], "ACTIVE");
    }
}
