//! Many customers create races, many agents start chats, many callers write at once: batches, whose callers each get their
//! own outcome.

use std::collections::HashMap;

use async_graphql::MaybeUndefined;
use futures_util::future::join_all;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction};
use switchboard::{
    chat::{
        ChatRecord, NewChat, StartedChat,
        contract::{ContractPatch, ContractStatus},
        message::{MessageRecord, NewMessage},
        rules::StartOutcome,
    },
    platform::{
        auth::Principal,
        error::{Code, Result},
    },
};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::company::{Company, request};

/// Blocks all writers until the transaction ends, so that the calls of one server gather.
async fn gather<'a>(blocker: &'a mut PgConnection, tables: &'static str) -> Transaction<'a, Postgres> {
    let mut held = blocker.begin().await.unwrap();
    sqlx::raw_sql(tables).execute(&mut *held).await.unwrap();
    held
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_offer_in_a_batch_has_its_own_outcome() {
    let company = Company::new().await;
    let contracts = company.contracts(3).await;
    let inactive = company.contract(1, Some(60)).await;
    let patch = ContractPatch { status: Some(ContractStatus::Inactive), ..ContractPatch::default() };
    company.servers[0].update_contract(&company.service, inactive.id, &patch).await.unwrap();
    let key = Uuid::now_v7();
    company.offer(&company.visitor("grace"), &contracts[0], key).await.unwrap();

    // Calls of one server while nothing can be written, so that they gather.
    let mut blocker = company.sql().await;
    let held = gather(&mut blocker, "lock table switchboard.chat_race in exclusive mode").await;
    let shared = Uuid::now_v7();
    let offer = |subject: &str, contract_id: Uuid, key: Uuid, headline: &str| {
        let (server, who) = (company.servers[0].clone(), company.visitor(subject));
        let mut request = request();
        headline.clone_into(&mut request.headline);
        tokio::spawn(async move { server.create_chat(&who, NewChat { contract_id, key: Some(key), request }).await })
    };
    let mut fresh = Vec::new();
    for number in 0..40 {
        fresh.push((number, offer(&format!("visitor {number}"), contracts[number % 3].id, Uuid::now_v7(), "fine")));
    }
    let unknown = offer("ada", Uuid::now_v7(), Uuid::now_v7(), "nobody");
    let closed = offer("ada", inactive.id, Uuid::now_v7(), "nobody");
    let stranger = offer("ada", contracts[1].id, key, "another visitor's key");
    // What input would have refused: the database does, and with it the whole batch.
    let bad = offer("ada", contracts[0].id, Uuid::now_v7(), "no \0 in text");
    let twice = [offer("linus", contracts[0].id, shared, "one"), offer("linus", contracts[0].id, shared, "other")];
    let joins = offer("linus", contracts[1].id, shared, "three");
    let leaver = Uuid::now_v7();
    let leaving = offer("leaver", contracts[2].id, leaver, "goes away");
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
    assert_eq!(bad.await.unwrap().unwrap_err().code(), Code::BadUserInput);
    let [one, other] = twice;
    assert_eq!(one.await.unwrap().unwrap().id, other.await.unwrap().unwrap().id, "a repeat answers what is there");
    assert_eq!(joins.await.unwrap().unwrap().key, shared);
    assert_eq!(company.see(shared).await.chats.len(), 2);
    company.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_offers_on_two_servers_neither_deadlock_nor_repeat() {
    let company = Company::new().await;
    let contracts = company.contracts(6).await;
    let keys: Vec<Uuid> = (0..60).map(|_| Uuid::new_v4()).collect();
    let before = company.count("select deadlocks from pg_stat_database where datname = current_database()").await;
    // Every key with every contract, on both servers, in opposite orders; meanwhile contracts change hands.
    let asked = (0..keys.len() * contracts.len()).flat_map(|number| {
        let last = keys.len() * contracts.len() - 1;
        [(0, number), (1, last - number)].map(|(server, number)| {
            let (server, who) = (company.servers[server].clone(), company.visitor("ada"));
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
        company.servers[1].update_contract(&company.service, contract.id, &patch).await.unwrap();
    }
    let mut chats = HashMap::new();
    for answer in join_all(asked).await {
        let (offer, id) = answer.unwrap();
        assert_eq!(*chats.entry(offer).or_insert(id), id, "both servers answer the same chat");
    }
    assert_eq!(chats.len(), 360);
    assert_eq!(company.count("select count(*) from chat").await, 360);
    assert_eq!(company.count("select count(*) from chat_race").await, 60);
    let after = company.count("select deadlocks from pg_stat_database where datname = current_database()").await;
    assert_eq!(after, before, "the order of locks holds");
    company.check().await;
}

/// Starts a chat on the first server.
fn answer(company: &Company, who: Principal, chat_id: Uuid) -> JoinHandle<Result<StartedChat>> {
    let server = company.servers[0].clone();
    tokio::spawn(async move { server.start(&who, chat_id).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_start_in_a_batch_has_its_own_outcome_and_a_locked_race_delays_no_other() {
    let company = Company::new().await;
    let contracts = company.contracts(20).await;
    let hot = company.race(&company.visitor("ada"), &contracts).await;
    let mut quiet = Vec::new();
    for number in 0..30 {
        quiet.push(company.race(&company.visitor(&format!("visitor {number}")), &contracts[..2]).await);
    }
    let stuck = company.race(&company.visitor("grace"), &contracts[..2]).await;
    let mut holder = company.sql().await;
    let mut holding = holder.begin().await.unwrap();
    sqlx::query("select from switchboard.chat_race where key = $1 for no key update")
        .bind(stuck.record.key)
        .execute(&mut *holding)
        .await
        .unwrap();

    let mut blocker = company.sql().await;
    let held = gather(&mut blocker, "lock table switchboard.chat_message in exclusive mode").await;
    let start = |chat: &ChatRecord| answer(&company, company.agent(chat.agent_id), chat.id);
    let all: Vec<_> = hot.chats.iter().chain(&hot.chats[..3]).map(start).collect();
    let alone: Vec<_> = quiet.iter().map(|race| start(&race.chats[0])).collect();
    let waits = start(&stuck.chats[0]);
    let stranger = answer(&company, company.agent(Some(Uuid::now_v7())), quiet[0].chats[1].id);
    let unknown = answer(&company, company.service.clone(), Uuid::now_v7());
    let leaving = start(&quiet[29].chats[1]);
    tokio::task::yield_now().await;
    leaving.abort();
    held.rollback().await.unwrap();

    let outcomes: Vec<_> = join_all(all).await.into_iter().map(|started| started.unwrap().unwrap()).collect();
    let won: Vec<_> = outcomes.iter().filter(|started| started.outcome == StartOutcome::Started).collect();
    let [StartedChat { chat: winner, .. }] = won[..] else { panic!("{} answers won", won.len()) };
    for StartedChat { outcome, chat, race } in &outcomes {
        let is_winner = chat.id == winner.id;
        assert_eq!(*outcome == StartOutcome::LostRace, !is_winner, "told once more, the winner's is ALREADY_STARTED");
        assert_eq!(race.winner_id, Some(winner.id));
    }
    for (race, started) in quiet.iter().zip(alone).take(29) {
        let started = started.await.unwrap().unwrap();
        assert_eq!((started.outcome, started.chat.id), (StartOutcome::Started, race.chats[0].id));
    }
    assert_eq!(stranger.await.unwrap().unwrap_err().code(), Code::NotFound);
    assert_eq!(unknown.await.unwrap().unwrap_err().code(), Code::NotFound);
    assert!(!waits.is_finished(), "its race is held, all others were decided");
    holding.rollback().await.unwrap();
    assert_eq!(waits.await.unwrap().unwrap().outcome, StartOutcome::Started);
    company.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_message_in_a_batch_has_its_own_outcome_and_none_is_written_twice() {
    let company = Company::new().await;
    let contracts = company.contracts(2).await;
    let mut chats = Vec::new();
    for number in 0..30 {
        let race = company.race(&company.visitor(&format!("visitor {number}")), &contracts).await;
        let chat = &race.chats[0];
        chats.push(company.servers[0].start(&company.agent(chat.agent_id), chat.id).await.unwrap().chat);
    }
    let waiting = company.race(&company.visitor("grace"), &contracts).await;
    let write = |who: Principal, chat_id: Uuid, id: Option<Uuid>, text: &str| -> JoinHandle<Result<MessageRecord>> {
        let new = NewMessage { id, chat_id, text: text.to_owned(), author: "somebody".to_owned(), is_agent: None };
        let server = company.servers[0].clone();
        tokio::spawn(async move { server.create_message(&who, new).await })
    };
    let agent = |chat: &ChatRecord| company.agent(chat.agent_id);
    let known = Uuid::now_v7();
    write(agent(&chats[1]), chats[1].id, Some(known), "before").await.unwrap().unwrap();

    let mut blocker = company.sql().await;
    let held = gather(&mut blocker, "lock table switchboard.chat_message in share row exclusive mode").await;
    let first = write(agent(&chats[0]), chats[0].id, None, "first of all");
    tokio::task::yield_now().await;
    let repeated = write(agent(&chats[1]), chats[1].id, Some(known), "before");
    let other = write(agent(&chats[2]), chats[2].id, Some(known), "its id is another chat's, which is no matter");
    let fresh: Vec<_> = chats[3..].iter().map(|chat| write(agent(chat), chat.id, None, "hello")).collect();
    let mismatch = write(agent(&chats[1]), chats[1].id, Some(known), "something else");
    let echo = write(company.visitor("visitor 0"), chats[0].id, None, &request().headline);
    let second = write(agent(&chats[3]), chats[3].id, None, "one more in this chat");
    let stranger = write(company.visitor("grace"), chats[4].id, None, "not mine");
    let early = write(company.agent(waiting.chats[0].agent_id), waiting.chats[0].id, None, "too early");
    let leaving = write(agent(&chats[5]), chats[5].id, Some(Uuid::now_v7()), "goes away");
    tokio::task::yield_now().await;
    leaving.abort();
    held.rollback().await.unwrap();

    assert_eq!(first.await.unwrap().unwrap().text, "first of all");
    assert_eq!(repeated.await.unwrap().unwrap().id, known);
    assert_eq!(other.await.unwrap().unwrap().id, known);
    for (chat, message) in chats[3..].iter().zip(fresh) {
        let message = message.await.unwrap().unwrap();
        assert_eq!((message.chat_id, message.visitor, message.is_agent), (chat.id, chat.visitor.clone(), true));
    }
    assert_eq!(mismatch.await.unwrap().unwrap_err().code(), Code::IdempotencyMismatch);
    let echo = echo.await.unwrap().unwrap();
    assert!(echo.opening && echo.chat_id == chats[0].id);
    assert_eq!(second.await.unwrap().unwrap().text, "one more in this chat");
    assert_eq!(stranger.await.unwrap().unwrap_err().code(), Code::NotFound);
    assert_eq!(early.await.unwrap().unwrap_err().code(), Code::Conflict);
    company.check().await;
    assert_eq!(company.count("select count(*) from chat_message where text = 'hello'").await, 27);
    assert!(company.count("select count(*) from chat_message where text = 'goes away'").await <= 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_locked_contract_delays_only_its_own_offers() {
    let company = Company::new().await;
    let contracts = company.contracts(2).await;
    let mut other_session = company.sql().await;
    let mut handover = other_session.begin().await.unwrap();
    sqlx::query("select from contract where id = $1 for update")
        .bind(contracts[0].id)
        .execute(&mut *handover)
        .await
        .unwrap();
    // More calls than the server has connections, each for a race of its own.
    let waiting: Vec<_> = (0..40)
        .map(|number| {
            let (server, caller) = (company.servers[0].clone(), company.visitor(&format!("visitor {number}")));
            let new = NewChat { contract_id: contracts[0].id, key: None, request: request() };
            tokio::spawn(async move { server.create_chat(&caller, new).await })
        })
        .collect();
    for number in 0..20 {
        let chat =
            company.offer(&company.visitor(&format!("other {number}")), &contracts[1], Uuid::now_v7()).await.unwrap();
        let started = company.servers[0].start(&company.agent(chat.agent_id), chat.id).await.unwrap();
        assert_eq!(started.outcome, StartOutcome::Started);
    }
    assert!(waiting.iter().all(|call| !call.is_finished()), "the contract is locked still");
    handover.rollback().await.unwrap();
    for call in waiting {
        assert_eq!(call.await.unwrap().unwrap().contract_id, contracts[0].id);
    }
    company.check().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_decision_on_what_has_changed_since_it_was_read_is_made_again() {
    let company = Company::new().await;
    let contracts = company.contracts(2).await;
    for _ in 0..10 {
        // Each call reads, another server changes what it read, and only then does the call write.
        let race = company.race(&company.visitor("grace"), &contracts).await;
        let mut blocker = company.sql().await;
        let held = gather(&mut blocker, "lock table switchboard.event in exclusive mode").await;
        let starts: Vec<_> = [0, 1]
            .into_iter()
            .flat_map(|server| race.chats.iter().map(move |chat| (server, chat.clone())))
            .map(|(server, chat)| {
                let (server, agent) = (company.servers[server].clone(), company.agent(chat.agent_id));
                tokio::spawn(async move { server.start(&agent, chat.id).await.unwrap().outcome })
            })
            .collect();
        let ends = {
            let (server, visitor, chat) = (company.servers[1].clone(), company.visitor("grace"), race.chats[1].id);
            tokio::spawn(async move { server.end(&visitor, chat).await.unwrap() })
        };
        tokio::task::yield_now().await;
        held.rollback().await.unwrap();
        let mut outcomes = Vec::new();
        for start in starts {
            outcomes.push(start.await.unwrap());
        }
        ends.await.unwrap();
        assert!(outcomes.iter().filter(|outcome| **outcome == StartOutcome::Started).count() <= 1, "{outcomes:?}");
        company.check().await;
    }
}
