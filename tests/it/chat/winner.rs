//! Many agents, one winner.

use std::collections::HashMap;

use futures_util::future::join_all;
use switchboard::{
    chat::rules::{ChatStatus, CloseReason, RaceState, StartOutcome},
    platform::error::Code,
};

use super::company::Company;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn exactly_one_of_fifty_concurrent_start_calls_wins_in_every_round() {
    let company = Company::new().await;
    let contracts = company.contracts(50).await;
    for round in 0..20 {
        let race = company.race(&company.visitor("ada"), &contracts).await;
        assert_eq!((race.record.state, race.chats.len()), (RaceState::Waiting, 50));
        let answers = join_all(race.chats.iter().enumerate().map(|(number, chat)| {
            let (agent, id) = (company.agent(chat.agent_id), chat.id);
            let server = company.servers[(number + round) % 2].clone();
            tokio::spawn(async move { server.start(&agent, id).await.unwrap() })
        }))
        .await;
        let mut outcomes: HashMap<StartOutcome, usize> = HashMap::new();
        for answer in &answers {
            *outcomes.entry(answer.as_ref().unwrap().outcome).or_default() += 1;
        }
        assert_eq!(outcomes, HashMap::from([(StartOutcome::Started, 1), (StartOutcome::LostRace, 49)]));
        let race = company.see(race.record.key).await;
        assert_eq!(race.record.state, RaceState::Won);
        for chat in &race.chats {
            let won = Some(chat.id) == race.record.winner_id;
            let expected =
                if won { (ChatStatus::Started, None) } else { (ChatStatus::Finished, Some(CloseReason::Rescinded)) };
            assert_eq!((chat.status, chat.close_reason), expected);
        }
    }
    company.check().await;
    assert_eq!(company.count("select count(*) from chat_message").await, 20);
}

#[tokio::test]
async fn start_chat_has_the_documented_outcomes() {
    let company = Company::new().await;
    let [server, other] = &company.servers;
    let contracts = company.contracts(3).await;
    let visitor = company.visitor("ada");
    let race = company.race(&visitor, &contracts).await;
    let agents: Vec<_> = contracts.iter().map(|contract| company.agent(contract.agent_id)).collect();
    let chat_of = |number: usize| race.chat_of(contracts[number].id).unwrap().id;

    assert_eq!(server.start(&visitor, chat_of(0)).await.unwrap_err().code(), Code::Forbidden);
    assert_eq!(server.start(&agents[1], chat_of(0)).await.unwrap_err().code(), Code::NotFound, "another agent's");
    let won = server.start(&agents[0], chat_of(0)).await.unwrap();
    assert_eq!((won.outcome, won.chat.status, won.chat.version), (StartOutcome::Started, ChatStatus::Started, 2));
    assert_eq!((won.race.state, won.race.winner_id), (RaceState::Won, Some(chat_of(0))));
    assert_eq!(other.start(&agents[0], chat_of(0)).await.unwrap().outcome, StartOutcome::AlreadyStarted);
    let lost = other.start(&agents[1], chat_of(1)).await.unwrap();
    assert_eq!((lost.outcome, lost.chat.close_reason), (StartOutcome::LostRace, Some(CloseReason::Rescinded)));
    assert_eq!(other.start(&company.service, chat_of(2)).await.unwrap().outcome, StartOutcome::LostRace);

    let seen = server.race(&agents[1], race.record.key).await.unwrap().unwrap();
    assert_eq!(seen.record.state, RaceState::Won);
    assert_eq!(seen.chats.iter().map(|chat| chat.id).collect::<Vec<_>>(), [chat_of(1)], "an agent sees its own chats");
    let stranger = company.contract(1, None).await;
    assert!(server.race(&company.agent(stranger.agent_id), race.record.key).await.unwrap().is_none());
    assert!(server.race(&company.visitor("eve"), race.record.key).await.unwrap().is_none());
    assert!(server.chat(&company.visitor("eve"), chat_of(0)).await.unwrap().is_none());

    let ended = other.end(&visitor, chat_of(0)).await.unwrap();
    assert_eq!((ended.status, ended.close_reason), (ChatStatus::Finished, Some(CloseReason::Completed)));
    assert_eq!(server.end(&agents[0], chat_of(0)).await.unwrap(), ended, "ending again changes nothing");
    assert_eq!(server.start(&agents[0], chat_of(0)).await.unwrap().outcome, StartOutcome::Closed);
    assert_eq!(company.see(race.record.key).await.record.state, RaceState::Won);
    company.check().await;

    let events = company.history("messages", chat_of(0)).await;
    let [opening] = &events[..] else { panic!("one message, not {}", events.len()) };
    assert_eq!((opening.event_type.as_str(), opening.actor.as_deref()), ("MessageAdded", Some("agent")));
    let message: serde_json::Value = serde_json::from_str(&opening.payload).unwrap();
    assert_eq!(message["text"], "My order is late");
    assert_eq!(message["author"], "Grace");
    assert_eq!((&message["opening"], &message["isAgent"]), (&true.into(), &false.into()));
    let event_types: Vec<_> =
        company.history("chat", chat_of(0)).await.into_iter().map(|event| event.event_type).collect();
    assert_eq!(event_types, ["ChatOffered", "ChatStarted", "ChatCompleted"]);
}

#[tokio::test]
async fn the_race_ends_when_its_last_offer_is_withdrawn() {
    let company = Company::new().await;
    let [server, other] = &company.servers;
    let contracts = company.contracts(2).await;
    let visitor = company.visitor("ada");

    let left = company.race(&visitor, &contracts).await;
    let first = server.end(&visitor, left.chats[0].id).await.unwrap();
    assert_eq!(first.close_reason, Some(CloseReason::Canceled));
    assert_eq!(company.see(left.record.key).await.record.state, RaceState::Waiting);
    other.end(&visitor, left.chats[1].id).await.unwrap();
    assert_eq!(company.see(left.record.key).await.record.state, RaceState::Canceled);
    let late = company.contract(1, None).await;
    let late = company.offer(&visitor, &late, left.record.key).await.unwrap();
    assert_eq!((late.status, late.close_reason), (ChatStatus::Finished, Some(CloseReason::Canceled)));
    assert_eq!(late.finished_at, Some(late.inserted_at));

    let declined = company.race(&visitor, &contracts).await;
    for chat in &declined.chats {
        let chat = server.end(&company.agent(chat.agent_id), chat.id).await.unwrap();
        assert_eq!(chat.close_reason, Some(CloseReason::Completed));
    }
    assert_eq!(company.see(declined.record.key).await.record.state, RaceState::Failed);
    company.check().await;
    let third = company.contract(1, None).await;
    let joined = company.offer(&visitor, &third, declined.record.key).await.unwrap();
    assert_eq!(joined.status, ChatStatus::Active);
    let again = company.see(declined.record.key).await;
    assert_eq!(again.record.state, RaceState::Waiting);
    assert!(again.record.expires_at > declined.record.expires_at, "its time begins anew");
    assert_eq!(other.start(&company.agent(third.agent_id), joined.id).await.unwrap().race.state, RaceState::Won);
    company.check().await;
}
