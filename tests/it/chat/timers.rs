//! What comes due, by the database's clock.

use std::time::Instant;

use switchboard::{
    chat::{
        self, NewChat, NewRace,
        rules::{ChatStatus, CloseReason, RaceState, StartOutcome},
    },
    platform::{
        event::LogNotifier,
        timer::{
            TimerWaker,
            scheduler::{Report, Scheduler},
        },
        unit::UnitOfWork,
    },
};
use uuid::Uuid;

use super::company::{Company, request};

/// A server that starts only now: whatever came due did so while it was down.
fn scheduler(company: &Company) -> Scheduler {
    let waker = TimerWaker::default();
    let work = UnitOfWork::new(company.pools[0].clone().into(), LogNotifier::default(), waker.clone());
    Scheduler::new(work, waker, chat::concept().timers)
}

#[tokio::test]
async fn an_offer_is_flagged_missed_once_and_can_still_be_started() {
    let company = Company::new().await;
    let visitor = company.visitor("ada");
    let slow = company.contract(1, Some(30)).await;
    let quick = company.contract(1, Some(30)).await;
    let never = company.contract(1, Some(0)).await;
    let race = company.race(&visitor, &[slow.clone(), never.clone()]).await;
    let answered = company.offer(&company.visitor("ben"), &quick, Uuid::now_v7()).await.unwrap();
    company.servers[0].start(&company.agent(quick.agent_id), answered.id).await.unwrap();
    let offered = race.chat_of(slow.id).unwrap();
    assert_eq!(offered.miss_at, Some(offered.inserted_at + time::Duration::seconds(30)));
    assert_eq!(race.chat_of(never.id).unwrap().miss_at, None);
    assert_eq!(scheduler(&company).tick().await.unwrap().fired, 0, "never early");

    company.advance(31).await;
    let (one, two) = (scheduler(&company), scheduler(&company));
    let (one, two) = tokio::join!(one.tick(), two.tick());
    assert_eq!(one.unwrap().fired + two.unwrap().fired, 1, "once, however many servers look");
    let after = company.see(race.record.key).await;
    let missed = after.chat_of(slow.id).unwrap();
    assert!(missed.missed && missed.status == ChatStatus::Active && missed.version == 2);
    assert!(!after.chat_of(never.id).unwrap().missed);
    assert!(!company.see(answered.key).await.chats[0].missed, "it was answered in time");
    let kinds: Vec<_> = company.history("chat", offered.id).await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(kinds, ["ChatOffered", "ChatMissed"]);
    company.check().await;

    let late = company.servers[1].start(&company.agent(slow.agent_id), offered.id).await.unwrap();
    assert_eq!((late.outcome, late.chat.missed), (StartOutcome::Started, true));
    company.check().await;
}

#[tokio::test]
async fn a_race_without_an_answer_expires_with_all_its_offers() {
    let company = Company::new().await;
    let visitor = company.visitor("ada");
    let contracts = [company.contract(1, Some(600)).await, company.contract(1, None).await];
    let contract_ids = Some(contracts.iter().map(|contract| contract.id).collect());
    let new = NewRace { contract_ids, expires_in: Some(60), ..company.on_shift(Uuid::now_v7()) };
    let race = company.servers[0].create_race(&visitor, new).await.unwrap();
    let won = company.race(&visitor, &contracts).await;
    company.servers[0]
        .start(&company.agent(contracts[0].agent_id), won.chat_of(contracts[0].id).unwrap().id)
        .await
        .unwrap();
    assert_eq!(scheduler(&company).tick().await.unwrap().fired, 0);

    company.advance(3_600).await;
    // The offer's own timer is due as well, and either may come first: the other is then skipped or not needed.
    while scheduler(&company).tick().await.unwrap() != Report::default() {}
    let expired = company.see(race.record.key).await;
    assert_eq!((expired.record.state, expired.record.version), (RaceState::Expired, 2));
    for chat in &expired.chats {
        assert_eq!((chat.status, chat.close_reason), (ChatStatus::Finished, Some(CloseReason::Expired)));
        assert!(!chat.missed, "its race was over by then");
    }
    assert_eq!(company.see(won.record.key).await.record.state, RaceState::Won);
    assert_eq!(company.count("select count(*) from timer").await, 0);
    let chat = expired.chat_of(contracts[0].id).unwrap();
    let late = company.servers[1].start(&company.agent(contracts[0].agent_id), chat.id).await.unwrap();
    assert_eq!(late.outcome, StartOutcome::Closed);
    let third = company.contract(1, None).await;
    let born = company.offer(&visitor, &third, race.record.key).await.unwrap();
    assert_eq!(born.close_reason, Some(CloseReason::Expired));
    company.check().await;
}

/// Races of one offer each, all missed at the same moment.
async fn missed_together(company: &Company, count: usize) {
    let contract = company.contract(1, Some(30)).await;
    let offers = (0..count).map(|number| {
        let (server, who) = (company.servers[number % 2].clone(), company.visitor(&format!("visitor {number}")));
        let new = NewChat { contract_id: contract.id, key: Some(Uuid::now_v7()), request: request() };
        tokio::spawn(async move { server.create_chat(&who, new).await.unwrap() })
    });
    for offer in offers.collect::<Vec<_>>() {
        offer.await.unwrap();
    }
    company.advance(60).await;
}

/// Fires all with so many servers; how many were fired, found needless, and in how many transactions.
async fn fire_all(company: &Company, servers: usize) -> (usize, usize) {
    let began = Instant::now();
    let firing = (0..servers).map(|_| async {
        let scheduler = scheduler(company);
        let mut sum = (0, 0);
        loop {
            let report = scheduler.tick().await.unwrap();
            assert_eq!(report.failed, 0);
            sum = (sum.0 + report.fired, sum.1 + report.needless);
            if report.fired == 0 && report.skipped == 0 && report.needless == 0 {
                return sum;
            }
        }
    });
    let sums = futures_util::future::join_all(firing).await;
    let (fired, needless) = sums.iter().fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
    println!("{servers} servers: {fired} timers in {:?}; {needless} needless", began.elapsed());
    (fired, needless)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_due_timers_fire_many_in_a_transaction_by_one_server_and_by_three() {
    for servers in [1, 3] {
        let company = Company::new().await;
        missed_together(&company, 4_000).await;
        let (fired, _) = fire_all(&company, servers).await;
        assert_eq!(fired, 4_000, "each once");
        let transactions = company.count("select count(distinct xid::text) from event where type = 'ChatMissed'").await;
        assert!(transactions <= 100, "{transactions} transactions");
        assert_eq!(company.count("select count(*) from event where type = 'ChatMissed'").await, 4_000);
        assert_eq!(company.count("select count(*) from chat where missed").await, 4_000);
        company.check().await;
    }
}
