//! Load: fifty agents start chats of one race over two servers at once, in many rounds; offers meet starts.

use std::collections::HashMap;

use futures_util::{StreamExt, future::join_all, stream};
use serde_json::{Value, json};
use switchboard::demo;
use uuid::Uuid;

use crate::support::{
    app::{TestApp, agent, service, visitor},
    chat::{CHAT_STATUS, CREATE_CHAT, CREATE_CONTRACT, CREATE_RACE, RACE, START_CHAT, chat_input, contract_of, id},
    client::Client,
    invariants,
};

const AGENTS: usize = 50;
const ROUNDS: usize = 20;
/// Rounds under way at once.
const AT_ONCE: usize = 4;

/// One agent and its contract.
struct Contender {
    token: String,
    contract: Uuid,
}

async fn hire(node: &Client, service: &str) -> Contender {
    let agent_id = Uuid::new_v4();
    let contract =
        json!({ "contract": { "websiteId": demo::WEBSITE_ID, "session": 2, "agentId": agent_id, "chatMissTime": 60 } });
    let created = node.data(service, CREATE_CONTRACT, contract).await;
    Contender { token: agent(agent_id), contract: id(&created["contract"]["id"]) }
}

/// Offers a race to all `agents`, who all start at once, every other one on the other server; returns the winner's chat.
async fn round([east, west]: [&Client; 2], agents: &[Contender], key: Uuid) -> Uuid {
    let contracts: Vec<Uuid> = agents.iter().map(|agent| agent.contract).collect();
    let input = json!({ "customerName": "Eve", "headline": "Anybody?", "key": key, "contractIds": contracts });
    let race = east.data(&visitor("eve"), CREATE_RACE, json!({ "input": input })).await["race"].take();
    let offered: HashMap<Uuid, Uuid> =
        race["chats"].as_array().unwrap().iter().map(|chat| (id(&chat["contractId"]), id(&chat["id"]))).collect();
    assert_eq!(offered.len(), AGENTS);
    let answers = agents.iter().enumerate().map(async |(place, agent)| {
        let (node, chat) = (if place % 2 == 0 { east } else { west }, offered[&agent.contract]);
        (chat, node.data(&agent.token, START_CHAT, json!({ "chat": chat })).await)
    });
    let mut winners = Vec::new();
    for (chat, answer) in join_all(answers).await {
        assert_eq!(answer["race"]["state"], "WON");
        match answer["outcome"].as_str().unwrap() {
            "STARTED" => {
                assert_eq!(answer["chat"]["messages"]["nodes"].as_array().unwrap().len(), 1);
                winners.push(chat);
            }
            "LOST_RACE" => {
                assert_eq!(
                    (&answer["chat"]["closeReason"], &answer["race"]["winner"]),
                    (&json!("RESCINDED"), &Value::Null)
                );
            }
            outcome => panic!("{outcome}: {answer}"),
        }
    }
    assert_eq!(winners.len(), 1, "one winner");
    winners[0]
}

/// One visitor asks in every round, and every agent answers.
const UNLIMITED: [&str; 4] = ["--writes-at-once", "0", "--visitor-writes-at-once", "0"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_one_of_fifty_agents_on_two_servers_wins_in_every_round() {
    let app = TestApp::new().await;
    let (east, west) = tokio::join!(app.node_with(&UNLIMITED), app.node_with(&UNLIMITED));
    let service = service();
    let agents: Vec<Contender> =
        stream::iter(0..AGENTS).map(|_| hire(&east, &service)).buffer_unordered(8).collect().await;
    // Listens on one server to what both of them do.
    let mut stream = west.subscribe(&service, CHAT_STATUS, json!({})).await;
    stream.ready().await;
    let listening = tokio::spawn(async move {
        let mut heard: HashMap<Uuid, Vec<(i64, String, Uuid)>> = HashMap::new();
        for _ in 0..ROUNDS * AGENTS * 2 {
            let event = stream.event().await;
            let record = &event["record"];
            let told = (
                record["version"].as_i64().unwrap(),
                record["status"].as_str().unwrap().to_owned(),
                id(&record["key"]),
            );
            heard.entry(id(&record["id"])).or_default().push(told);
        }
        heard
    });
    let keys: Vec<Uuid> = (0..ROUNDS).map(|_| Uuid::new_v4()).collect();
    let nodes: [&Client; 2] = [&east, &west];
    let rounds = stream::iter(keys).map(async |key| (key, round(nodes, &agents, key).await));
    let winners: HashMap<Uuid, Uuid> = rounds.buffer_unordered(AT_ONCE).collect().await;

    let heard = listening.await.unwrap();
    assert_eq!(heard.len(), ROUNDS * AGENTS);
    for (chat, told) in heard {
        let key = told[0].2;
        let end = if winners[&key] == chat { "STARTED" } else { "FINISHED" };
        assert_eq!(told, [(1, "ACTIVE".to_owned(), key), (2, end.to_owned(), key)], "each once, in order");
    }
    let mut connection = app.sql().await;
    invariants::check(&mut connection).await;
    let counts: (i64, i64, i64, i64) = sqlx::query_as(
        "select (select count(*) from event where type = 'RaceWon'), (select count(*) from chat_message),
                (select count(*) from chat where close_reason = 'RESCINDED'), (select count(*) from timer)",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    let rounds = i64::try_from(ROUNDS).unwrap();
    assert_eq!(counts, (rounds, rounds, rounds * i64::try_from(AGENTS - 1).unwrap(), 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_concurrent_with_a_start_on_another_server_are_withdrawn_or_created_finished() {
    let app = TestApp::new().await;
    let (east, west) = tokio::join!(app.node(), app.node());
    let service = service();
    // A visitor each: one visitor's new question would withdraw its older ones.
    let tries = (0..30).map(async |number| {
        let (eve, key) = (visitor(&format!("eve-{number}")), Uuid::new_v4());
        let first = east.data(&eve, CREATE_CHAT, chat_input(key, contract_of(0, 1))).await;
        let (started, second, third) = tokio::join!(
            east.data(&service, START_CHAT, json!({ "chat": first["chat"]["id"] })),
            west.data(&eve, CREATE_CHAT, chat_input(key, contract_of(1, 1))),
            west.data(&eve, CREATE_CHAT, chat_input(key, contract_of(0, 2))),
        );
        assert_eq!(started["outcome"], "STARTED");
        let born: Vec<bool> = [second, third].iter().map(|created| created["chat"]["status"] == "ACTIVE").collect();
        let race = west.data(&eve, RACE, json!({ "key": key })).await;
        let chats = race["chats"].as_array().unwrap();
        let count = |status: &str, reason: Value| {
            chats.iter().filter(|chat| chat["status"] == status && chat["closeReason"] == reason).count()
        };
        assert_eq!((count("STARTED", Value::Null), count("FINISHED", json!("RESCINDED"))), (1, 2), "{race}");
        born
    });
    join_all(tries).await;
    invariants::check(&mut app.sql().await).await;
}
