//! Many customers ask at once: their chats are made in batches, and nobody can tell.

use std::collections::HashMap;

use async_graphql::MaybeUndefined;
use futures_util::future::join_all;
use sqlx::Connection as _;
use switchboard::{
    chat::{
        contract::{ContractPatch, ContractStatus},
        race::NewChat,
    },
    error::Code,
};
use uuid::Uuid;

use super::{Place, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_request_of_a_batch_has_its_own_outcome() {
    let place = Place::new().await;
    let contracts = place.contracts(3).await;
    let inactive = place.contract(1, Some(60)).await;
    let patch = ContractPatch { status: Some(ContractStatus::Inactive), ..ContractPatch::default() };
    place.servers[0].update_contract(&place.service, inactive.id, &patch).await.unwrap();
    let key = Uuid::now_v7();
    place.offer(&place.visitor("grace"), &contracts[0], key).await.unwrap();

    // Everything that one server is asked while nothing can be written, so that it gathers.
    let mut blocker = place.sql().await;
    let mut held = blocker.begin().await.unwrap();
    sqlx::raw_sql("lock table switchboard.chat_race in exclusive mode").execute(&mut *held).await.unwrap();
    let shared = Uuid::now_v7();
    let ask = |subject: &str, contract_id: Uuid, key: Uuid, headline: &str| {
        let (server, who) = (place.servers[0].clone(), place.visitor(subject));
        let mut request = request();
        headline.clone_into(&mut request.headline);
        tokio::spawn(async move { server.create_chat(&who, NewChat { contract_id, key: Some(key), request }).await })
    };
    let mut fresh = Vec::new();
    for number in 0..40 {
        fresh.push((number, ask(&format!("visitor {number}"), contracts[number % 3].id, Uuid::now_v7(), "fine")));
    }
    let unknown = ask("ada", Uuid::now_v7(), Uuid::now_v7(), "nobody");
    let closed = ask("ada", inactive.id, Uuid::now_v7(), "nobody");
    let stranger = ask("ada", contracts[1].id, key, "another visitor's key");
    // What input would have refused: the database does, and with it the whole batch.
    let bad = ask("ada", contracts[0].id, Uuid::now_v7(), "no \0 in text");
    let twice = [ask("linus", contracts[0].id, shared, "one"), ask("linus", contracts[0].id, shared, "other")];
    let joins = ask("linus", contracts[1].id, shared, "three");
    let leaver = Uuid::now_v7();
    let leaving = ask("leaver", contracts[2].id, leaver, "goes away");
    tokio::task::yield_now().await;
    leaving.abort();
    held.rollback().await.unwrap();

    for (number, chat) in fresh {
        let chat = chat.await.unwrap().unwrap();
        assert_eq!((chat.contract_id, chat.visitor), (contracts[number % 3].id, format!("visitor {number}")));
    }
    assert_eq!(unknown.await.unwrap().unwrap_err().code(), Code::NotFound);
    assert_eq!(closed.await.unwrap().unwrap_err().code(), Code::Conflict);
    assert_eq!(stranger.await.unwrap().unwrap_err().code(), Code::Conflict);
    assert!(bad.await.unwrap().is_err());
    let [one, other] = twice;
    assert_eq!(one.await.unwrap().unwrap().id, other.await.unwrap().unwrap().id, "a repeat answers what is there");
    assert_eq!(joins.await.unwrap().unwrap().key, shared);
    assert_eq!(place.see(shared).await.chats.len(), 2);
    place.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_on_two_servers_neither_deadlocks_nor_doubles() {
    let place = Place::new().await;
    let contracts = place.contracts(6).await;
    let keys: Vec<Uuid> = (0..60).map(|_| Uuid::new_v4()).collect();
    let before = place.count("select deadlocks from pg_stat_database where datname = current_database()").await;
    // Every key with every contract, on both servers, in opposite orders; meanwhile contracts change hands.
    let asked = (0..keys.len() * contracts.len()).flat_map(|number| {
        let last = keys.len() * contracts.len() - 1;
        [(0, number), (1, last - number)].map(|(server, number)| {
            let (server, who) = (place.servers[server].clone(), place.visitor("ada"));
            let (contract_id, key) = (contracts[number % 6].id, keys[number / 6]);
            tokio::spawn(async move {
                let new = NewChat { contract_id, key: Some(key), request: request() };
                let chat = server.create_chat(&who, new).await.unwrap();
                ((chat.key, chat.contract_id), chat.id)
            })
        })
    });
    let asked: Vec<_> = asked.collect();
    for contract in &contracts {
        let patch = ContractPatch { agent_id: MaybeUndefined::Value(Uuid::now_v7()), ..ContractPatch::default() };
        place.servers[1].update_contract(&place.service, contract.id, &patch).await.unwrap();
    }
    let mut chats = HashMap::new();
    for answer in join_all(asked).await {
        let (offer, id) = answer.unwrap();
        assert_eq!(*chats.entry(offer).or_insert(id), id, "both servers answer the same chat");
    }
    assert_eq!(chats.len(), 360);
    assert_eq!(place.count("select count(*) from chat").await, 360);
    assert_eq!(place.count("select count(*) from chat_race").await, 60);
    let after = place.count("select deadlocks from pg_stat_database where datname = current_database()").await;
    assert_eq!(after, before, "the order of locks holds");
    place.check().await;
}
