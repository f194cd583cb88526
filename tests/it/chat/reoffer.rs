//! A race reopens when its winner vanishes: once, within its time, and never together with another decision.

use serde_json::{Value, json};

use super::{agent_of, create_chat, create_won_race, end, new_visitor, race, start, texts, write};
use crate::support::app::TestApp;

#[tokio::test]
async fn the_race_reopens_when_its_winner_vanishes() {
    let app = TestApp::new().await;
    let nodes = [app.node().await, app.node().await];
    let eve = new_visitor();
    let (asked, chat) = create_won_race(&nodes[0], &eve).await;
    let other = &asked["chats"][1];
    let document = "subscription { chatStatus(status: ACTIVE) { operation record { id version } } }";
    let mut inbox = nodes[1].subscribe(&agent_of(other), document, json!({})).await;
    inbox.until(|event| event["operation"] == "READY").await;
    assert_eq!(end(&nodes[0], &agent_of(&chat), &chat).await, "FINISHED");
    let back = inbox.event().await;
    assert_eq!((&back["operation"], &back["record"]["id"]), (&json!("INSERT"), &other["id"]));
    assert_eq!(back["record"]["version"], 3, "offered, rescinded, offered again");
    let open = race(&nodes[1], &eve, &asked["key"]).await;
    assert_eq!((&open["state"], &open["winner"]), (&json!("WAITING"), &Value::Null));
    assert_eq!(open["expiresAt"], asked["expiresAt"], "never past the race's own end");
    assert_eq!(start(&nodes[0], &agent_of(&chat), &chat).await, "CLOSED", "who vanished is out");
    assert_eq!(start(&nodes[1], &agent_of(other), other).await, "STARTED");
    assert_eq!(texts(&nodes[0], &eve, other).await, [super::HEADLINE]);
    let decided = race(&nodes[0], &eve, &asked["key"]).await;
    assert_eq!((&decided["state"], &decided["winner"]["id"]), (&json!("WON"), &other["id"]));
}

#[tokio::test]
async fn a_race_is_not_reopened_for_other_reasons() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    let state = async |asked: &Value| race(&node, &eve, &asked["key"]).await["state"].as_str().unwrap().to_owned();
    let (asked, chat) = create_won_race(&node, &eve).await;
    end(&node, &eve, &chat).await;
    assert_eq!(state(&asked).await, "WON", "the customer left");
    let (asked, chat) = create_won_race(&node, &eve).await;
    write(&node, &eve, &chat, "Anybody?").await;
    write(&node, &agent_of(&chat), &chat, "Yes").await;
    end(&node, &agent_of(&chat), &chat).await;
    assert_eq!(state(&asked).await, "WON", "the agent wrote");
    let contracts = [0, 1].map(|index| asked["chats"][index]["contract"]["id"].as_str().unwrap().to_owned());
    let first = create_chat(&node, &eve, &contracts[0], None).await;
    create_chat(&node, &eve, &contracts[1], first["key"].as_str()).await;
    start(&node, &agent_of(&first), &first).await;
    end(&node, &agent_of(&first), &first).await;
    assert_eq!(state(&first).await, "WON", "widgets in the field make their races themselves");
    let (asked, chat) = create_won_race(&node, &eve).await;
    app.advance(31).await;
    end(&node, &agent_of(&chat), &chat).await;
    assert_eq!(state(&asked).await, "WON", "too late");
}

#[tokio::test]
async fn reopening_respects_a_concurrent_cancel_and_the_time_limit() {
    let app = TestApp::new().await;
    let nodes = [app.node().await, app.node().await];
    let eve = new_visitor();
    let cancel = "mutation($key: UUID!) { cancelChatRace(input: {key: $key}) { outcome } }";
    for _ in 0..8 {
        let (asked, chat) = create_won_race(&nodes[0], &eve).await;
        let other = &asked["chats"][1];
        let (loser, winner) = (agent_of(other), agent_of(&chat));
        let (_, outcome, canceled) = tokio::join!(
            end(&nodes[0], &winner, &chat),
            start(&nodes[1], &loser, other),
            nodes[1].fields(&eve, cancel, json!({ "key": asked["key"] })),
        );
        let canceled = canceled["cancelChatRace"]["outcome"].as_str().unwrap();
        let now = race(&nodes[0], &eve, &asked["key"]).await;
        let started = now["chats"].as_array().unwrap().iter().filter(|chat| chat["status"] == "STARTED").count();
        assert!(started <= 1);
        let consistent = match now["state"].as_str().unwrap() {
            // Both came too early to find the race open again, or only the cancel did.
            "WAITING" => outcome == "LOST_RACE" && canceled == "ALREADY_WON" && started == 0,
            "WON" => outcome == "STARTED" && canceled == "ALREADY_WON" && started == 1,
            "CANCELED" => outcome != "STARTED" && canceled == "CANCELED" && started == 0,
            _ => false,
        };
        assert!(consistent, "{outcome} {canceled} {now}");
    }
    // The cap holds for what was offered again: it is withdrawn when the race would have ended anyway.
    let (asked, chat) = create_won_race(&nodes[0], &eve).await;
    end(&nodes[0], &agent_of(&chat), &chat).await;
    assert_eq!(race(&nodes[0], &eve, &asked["key"]).await["state"], "WAITING");
    let document = "subscription($key: UUID!) { chatRace(key: $key) { operation record { state } } }";
    let mut stream = nodes[1].subscribe(&eve, document, json!({ "key": asked["key"] })).await;
    app.advance(301).await;
    nodes[0].app.waker.wake();
    stream.until(|event| event["record"]["state"] == "EXPIRED").await;
}
