//! Who may offer what to whom, and what repeats come to.

use std::sync::Arc;

use async_graphql::MaybeUndefined;
use futures_util::future::join_all;
use switchboard::{
    chat::{
        ChatFeed, ChatFilter, NewChat, NewRace,
        contract::{ContractPatch, ContractStatus},
        rules::{ChatStatus, CloseReason, RaceState, StartOutcome},
        website::NewWebsite,
    },
    platform::{
        auth::Principal,
        error::Code,
        subscription::{ChangeOperation, Feed},
    },
};
use uuid::Uuid;

use super::company::{Company, request};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_that_share_a_key_share_a_race() {
    let company = Company::new().await;
    let contracts = company.contracts(4).await;
    let visitor = company.visitor("ada");
    let key = Uuid::now_v7();
    let calls = join_all((0..40).map(|number| {
        let (who, server) = (visitor.clone(), company.servers[number / 4 % 2].clone());
        let new = NewChat { contract_id: contracts[number % 4].id, key: Some(key), request: request() };
        tokio::spawn(async move { server.create_chat(&who, new).await.unwrap() })
    }))
    .await;
    let race = company.see(key).await;
    assert_eq!(race.chats.len(), 4, "one chat for each contract");
    for chat in calls {
        let chat = chat.unwrap();
        assert_eq!(race.chat(chat.id), Some(&chat));
    }
    let event_types: Vec<_> =
        company.history("chat_race", key).await.into_iter().map(|event| event.event_type).collect();
    // Offers that were made together are one change of the race.
    assert_eq!(event_types[0], "RaceOpened");
    assert!(
        event_types[1..].iter().all(|event_type| event_type == "RaceJoined") && event_types.len() <= 4,
        "{event_types:?}"
    );
    assert_eq!(race.record.version, i32::try_from(event_types.len()).unwrap());
    company.check().await;
}

#[tokio::test]
async fn a_race_key_belongs_to_the_visitor_that_used_it_first() {
    let company = Company::new().await;
    let contracts = company.contracts(3).await;
    let ada = company.visitor("ada");
    let key = Uuid::now_v7();
    let code = async |who: &Principal, number: usize| {
        company.offer(who, &contracts[number], key).await.map(|chat| chat.status).map_err(|error| error.code())
    };
    assert_eq!(code(&ada, 0).await, Ok(ChatStatus::Active));
    assert_eq!(code(&company.visitor("eve"), 0).await, Err(Code::Conflict), "not even the chat that is there");
    assert_eq!(code(&company.visitor("eve"), 1).await, Err(Code::Conflict));
    assert_eq!(code(&company.agent(contracts[0].agent_id), 1).await, Err(Code::Forbidden));
    assert_eq!(code(&company.service, 1).await, Ok(ChatStatus::Active), "the company may join any of its races");
    assert_eq!(company.see(key).await.chats[1].visitor, "ada");
    let race = company.servers[1].create_race(&company.visitor("eve"), company.on_shift(key)).await;
    assert_eq!(race.unwrap_err().code(), Code::Conflict);

    let elsewhere = company.servers[0].create_website(&company.service, &NewWebsite::default()).await.unwrap();
    let stranger = Principal { website_id: Some(elsewhere.id), ..ada.clone() };
    assert_eq!(code(&stranger, 2).await, Err(Code::NotFound), "another website's contract");
    let other_company = Principal { company_id: Uuid::now_v7(), ..company.service.clone() };
    assert_eq!(code(&other_company, 2).await, Err(Code::NotFound));
    company.check().await;
}

#[tokio::test]
async fn offers_to_a_decided_race_are_created_finished() {
    let company = Company::new().await;
    let contracts = company.contracts(3).await;
    let visitor = company.visitor("ada");
    let key = Uuid::now_v7();
    let first = company.offer(&visitor, &contracts[0], key).await.unwrap();
    company.servers[1].start(&company.agent(contracts[0].agent_id), first.id).await.unwrap();
    let late = company.offer(&visitor, &contracts[1], key).await.unwrap();
    assert_eq!((late.status, late.close_reason, late.version), (ChatStatus::Finished, Some(CloseReason::Rescinded), 1));
    let answer = company.servers[1].start(&company.agent(contracts[1].agent_id), late.id).await.unwrap();
    assert_eq!(answer.outcome, StartOutcome::LostRace);
    let contract_ids = Some(contracts.iter().map(|contract| contract.id).collect());
    let repeat = NewRace { contract_ids, ..company.on_shift(key) };
    let repeat = company.servers[0].create_race(&visitor, repeat).await.unwrap();
    assert_eq!((repeat.record.state, repeat.chats.len()), (RaceState::Won, 2), "a decided race takes no more");
    company.check().await;
}

#[tokio::test]
async fn a_race_offers_to_contracts_on_shift_and_lists_the_others_as_failures() {
    let company = Company::new().await;
    let [server, _] = &company.servers;
    let visitor = company.visitor("ada");
    let key = Uuid::now_v7();
    let offline = server.create_race(&visitor, company.on_shift(key)).await.unwrap();
    assert_eq!((offline.record.state, offline.chats.len(), offline.record.version), (RaceState::Offline, 0, 1));
    let again = server.create_race(&visitor, company.on_shift(key)).await.unwrap();
    assert_eq!(again, offline, "a repeat changes nothing");
    company.check().await;

    company.set_clock("date_trunc('day', clock_timestamp()) + interval '10 hours'").await;
    let shift = server.current_shift().await.unwrap();
    assert_eq!(shift, 2);
    let on_shift = company.contract(shift, None).await;
    let off_shift = company.contract(shift % 3 + 1, None).await;
    let asleep = company.contract(shift, None).await;
    let patch = ContractPatch { status: Some(ContractStatus::Inactive), ..ContractPatch::default() };
    server.update_contract(&company.service, asleep.id, &patch).await.unwrap();
    let online = server.create_race(&visitor, company.on_shift(key)).await.unwrap();
    assert_eq!(online.record.state, RaceState::Waiting);
    assert_eq!(online.chats.iter().map(|chat| chat.contract_id).collect::<Vec<_>>(), [on_shift.id]);

    let unknown = Uuid::now_v7();
    let contract_ids = Some(vec![off_shift.id, asleep.id, unknown, off_shift.id]);
    let named =
        server.create_race(&visitor, NewRace { contract_ids, ..company.on_shift(Uuid::now_v7()) }).await.unwrap();
    assert_eq!((named.record.state, named.chats.len()), (RaceState::Waiting, 1), "out of shift is accepted when named");
    let failures: Vec<_> =
        named.record.failures.iter().map(|failure| (failure.contract_id, failure.code.as_str())).collect();
    assert_eq!(failures, [(asleep.id, "CONFLICT"), (unknown, "NOT_FOUND")]);

    let contract_ids = Some(vec![asleep.id]);
    let failed = NewRace { contract_ids, ..company.on_shift(Uuid::now_v7()) };
    let failed_key = failed.key.unwrap();
    assert_eq!(server.create_race(&visitor, failed).await.unwrap().record.state, RaceState::Failed);
    let woken = ContractPatch { status: Some(ContractStatus::Active), ..ContractPatch::default() };
    assert_eq!(company.offer(&visitor, &asleep, failed_key).await.unwrap_err().code(), Code::Conflict);
    server.update_contract(&company.service, asleep.id, &woken).await.unwrap();
    company.offer(&visitor, &asleep, failed_key).await.unwrap();
    let joined = company.see(failed_key).await;
    assert_eq!((joined.record.state, joined.record.failures.len()), (RaceState::Waiting, 0));
    for (bad, code) in [
        (NewRace { contract_ids: Some(Vec::new()), ..company.on_shift(key) }, Code::BadUserInput),
        (NewRace { website_id: Some(unknown), ..company.on_shift(key) }, Code::NotFound),
    ] {
        assert_eq!(server.create_race(&visitor, bad).await.unwrap_err().code(), code);
    }
    let nowhere = NewRace { website_id: None, ..company.on_shift(Uuid::now_v7()) };
    assert_eq!(server.create_race(&company.service, nowhere).await.unwrap_err().code(), Code::BadUserInput);
    company.check().await;
}

#[tokio::test]
async fn a_contracts_offers_move_with_it_to_another_agent() {
    let company = Company::new().await;
    let [server, other] = &company.servers;
    let contracts = company.contracts(2).await;
    let visitor = company.visitor("ada");
    let race = company.race(&visitor, &contracts).await;
    let over = company.race(&visitor, &contracts[..1]).await;
    server.end(&visitor, over.chats[0].id).await.unwrap();
    let chat = race.chat_of(contracts[0].id).unwrap();
    let (old, new) = (company.agent(chat.agent_id), company.agent(Some(Uuid::now_v7())));
    let patch = ContractPatch { agent_id: MaybeUndefined::Value(new.agent_id.unwrap()), ..ContractPatch::default() };
    other.update_contract(&company.service, contracts[0].id, &patch).await.unwrap();

    assert_eq!(server.start(&old, chat.id).await.unwrap_err().code(), Code::NotFound);
    assert!(server.race(&old, race.record.key).await.unwrap().is_none());
    assert!(server.chat(&old, over.chats[0].id).await.unwrap().is_some(), "what is over stays with who had it");
    let events = company.history("chat", chat.id).await;
    let moved = events.last().unwrap();
    assert_eq!(moved.event_type, "ChatReassigned");
    let listed = |who: &Principal, status: Option<ChatStatus>| {
        let filter = ChatFilter { status, ..ChatFilter::default() };
        let feed = ChatFeed { viewer: Arc::new(who.clone()).into(), filter };
        feed.project(moved).unwrap().map(|(operation, _)| operation)
    };
    assert_eq!(listed(&old, None), Some(ChangeOperation::Delete));
    assert_eq!(listed(&new, None), Some(ChangeOperation::Insert));
    assert_eq!(listed(&new, Some(ChatStatus::Started)), None);
    assert_eq!(listed(&visitor, None), Some(ChangeOperation::Update));
    assert_eq!(listed(&company.visitor("eve"), None), None);

    let started = server.start(&new, chat.id).await.unwrap();
    assert_eq!((started.outcome, started.chat.version), (StartOutcome::Started, 3));
    let event_types: Vec<_> =
        company.history("chat_race", race.record.key).await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(event_types, ["RaceOpened", "RaceReassigned", "RaceWon"]);
    company.check().await;
}

#[tokio::test]
async fn a_stream_begins_with_what_its_reader_may_see() {
    let company = Company::new().await;
    let contracts = company.contracts(2).await;
    let ada = company.visitor("ada");
    let race = company.race(&ada, &contracts).await;
    let other = company.race(&company.visitor("eve"), &contracts[..1]).await;
    company.servers[0].end(&ada, race.chat_of(contracts[1].id).unwrap().id).await.unwrap();
    let mut connection = company.sql().await;
    let mut count = async |who: &Principal, filter: ChatFilter| {
        let feed = ChatFeed { viewer: Arc::new(who.clone()).into(), filter };
        feed.snapshot(&mut connection).await.map(|shown| shown.len()).map_err(|error| error.code())
    };
    let all = ChatFilter::default;
    assert_eq!(count(&company.service, all()).await, Ok(3));
    assert_eq!(count(&ada, all()).await, Ok(2));
    assert_eq!(count(&ada, ChatFilter { status: Some(ChatStatus::Active), ..all() }).await, Ok(1));
    assert_eq!(count(&ada, ChatFilter { key: Some(other.record.key), ..all() }).await, Ok(0));
    assert_eq!(count(&ada, ChatFilter { chat_id: Some(other.chats[0].id), ..all() }).await, Err(Code::NotFound));
    let agent = company.agent(contracts[0].agent_id);
    assert_eq!(count(&agent, all()).await, Ok(2));
    assert_eq!(count(&agent, ChatFilter { contract_id: Some(contracts[1].id), ..all() }).await, Ok(0));
    let other_company = Principal { company_id: Uuid::now_v7(), ..company.service.clone() };
    assert_eq!(count(&other_company, all()).await, Ok(0));
}

#[tokio::test]
async fn contracts_that_do_not_exist_are_reported_to_the_call_and_kept_nowhere() {
    let company = Company::new().await;
    let [server, _] = &company.servers;
    let contract = company.contract(1, None).await;
    let key = Uuid::now_v7();
    for turn in 0..5 {
        let mut named: Vec<Uuid> = (0..90).map(|_| Uuid::now_v7()).collect();
        if turn == 3 {
            named.push(contract.id);
        }
        let call = NewRace { contract_ids: Some(named.clone()), ..company.on_shift(key) };
        let race = server.create_race(&company.visitor("ada"), call).await.unwrap();
        let reported: Vec<Uuid> = race.record.failures.iter().map(|failure| failure.contract_id).collect();
        assert_eq!(reported, named[..90], "the call's own, and none of the calls before");
        assert_eq!(race.chats.len(), usize::from(turn >= 3));
    }
    assert_eq!(company.see(key).await.record.failures, []);
    let kept = "select coalesce(max(length(failures::text)), 0)::bigint from chat_race";
    assert_eq!(company.count(kept).await, 2, "[]");
    let told = "select coalesce(max(length(payload::text)), 0)::bigint from event where subject_type = 'chat_race'";
    assert!(company.count(told).await < 1_000);
    assert_eq!(company.count("select count(*) from event where subject_type = 'chat_race'").await, 2);
    company.check().await;
}
