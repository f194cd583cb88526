//! What comes due, by the database's clock.

use switchboard::{
    chat::{
        self, NewRace,
        rules::{ChatStatus, CloseReason, RaceState, StartOutcome},
    },
    platform::{
        event::LogNotifier,
        timer::{TimerWaker, scheduler::Scheduler},
        unit::UnitOfWork,
    },
};
use uuid::Uuid;

use super::Place;

/// A server that starts only now: whatever came due did so while it was down.
fn scheduler(place: &Place) -> Scheduler {
    let waker = TimerWaker::default();
    let work = UnitOfWork::new(place.pools[0].clone().into(), LogNotifier::default(), waker.clone());
    Scheduler::new(work, waker, chat::concept().timers)
}

#[tokio::test]
async fn an_offer_is_flagged_missed_once_and_can_still_be_started() {
    let place = Place::new().await;
    let visitor = place.visitor("ada");
    let slow = place.contract(1, Some(30)).await;
    let quick = place.contract(1, Some(30)).await;
    let never = place.contract(1, Some(0)).await;
    let race = place.race(&visitor, &[slow.clone(), never.clone()]).await;
    let answered = place.offer(&visitor, &quick, Uuid::now_v7()).await.unwrap();
    place.servers[0].start(&place.agent(quick.agent_id), answered.id).await.unwrap();
    let offered = race.chat_of(slow.id).unwrap();
    assert_eq!(offered.miss_at, Some(offered.inserted_at + time::Duration::seconds(30)));
    assert_eq!(race.chat_of(never.id).unwrap().miss_at, None);
    assert_eq!(scheduler(&place).tick().await.unwrap().fired, 0, "never early");

    place.advance(31).await;
    let (one, two) = (scheduler(&place), scheduler(&place));
    let (one, two) = tokio::join!(one.tick(), two.tick());
    assert_eq!(one.unwrap().fired + two.unwrap().fired, 1, "once, however many servers look");
    let after = place.see(race.record.key).await;
    let missed = after.chat_of(slow.id).unwrap();
    assert!(missed.missed && missed.status == ChatStatus::Active && missed.version == 2);
    assert!(!after.chat_of(never.id).unwrap().missed);
    assert!(!place.see(answered.key).await.chats[0].missed, "it was answered in time");
    let kinds: Vec<_> = place.history("chat", offered.id).await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(kinds, ["ChatOffered", "ChatMissed"]);
    place.check().await;

    let late = place.servers[1].start(&place.agent(slow.agent_id), offered.id).await.unwrap();
    assert_eq!((late.outcome, late.chat.missed), (StartOutcome::Started, true));
    place.check().await;
}

#[tokio::test]
async fn a_race_without_an_answer_expires_with_all_its_offers() {
    let place = Place::new().await;
    let visitor = place.visitor("ada");
    let contracts = [place.contract(1, Some(600)).await, place.contract(1, None).await];
    let contract_ids = Some(contracts.iter().map(|contract| contract.id).collect());
    let new = NewRace { contract_ids, expires_in: Some(60), ..place.on_shift(Uuid::now_v7()) };
    let race = place.servers[0].create_race(&visitor, new).await.unwrap();
    let won = place.race(&visitor, &contracts).await;
    place.servers[0]
        .start(&place.agent(contracts[0].agent_id), won.chat_of(contracts[0].id).unwrap().id)
        .await
        .unwrap();
    assert_eq!(scheduler(&place).tick().await.unwrap().fired, 0);

    place.advance(3_600).await;
    assert_eq!(scheduler(&place).tick().await.unwrap().fired, 1);
    let expired = place.see(race.record.key).await;
    assert_eq!((expired.record.state, expired.record.version), (RaceState::Expired, 2));
    for chat in &expired.chats {
        assert_eq!((chat.status, chat.close_reason), (ChatStatus::Finished, Some(CloseReason::Expired)));
    }
    assert_eq!(place.see(won.record.key).await.record.state, RaceState::Won);
    assert_eq!(place.count("select count(*) from timer").await, 0);
    let chat = expired.chat_of(contracts[0].id).unwrap();
    let late = place.servers[1].start(&place.agent(contracts[0].agent_id), chat.id).await.unwrap();
    assert_eq!(late.outcome, StartOutcome::Closed);
    let third = place.contract(1, None).await;
    let born = place.offer(&visitor, &third, race.record.key).await.unwrap();
    assert_eq!(born.close_reason, Some(CloseReason::Expired));
    place.check().await;
}
