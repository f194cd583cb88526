//! Timers of unanswered offers and races, also those that come due while no server runs.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    app::{TestApp, visitor},
    chat::{
        CHAT_RACE, CHAT_STATUS, CREATE_RACE, RACE, START_CHAT, ada_and_ben, chat_of, log_in, race_input, status_change,
    },
    invariants,
};

#[tokio::test]
async fn unanswered_offers_are_missed_and_unanswered_races_expire() {
    let app = TestApp::new().await;
    let (east, west) = tokio::join!(app.node(), app.node());
    let (visitor, [ada, _]) = (log_in(&east).await, ada_and_ben());
    let [first, second] = [Uuid::new_v4(), Uuid::new_v4()];
    let mut of_ada = west.subscribe(&ada, CHAT_STATUS, json!({})).await;
    of_ada.ready().await;
    let race = east.data(&visitor, CREATE_RACE, race_input(first)).await["race"].take();
    assert_eq!(status_change(&of_ada.event().await), (chat_of(&race, 0), "INSERT", "ACTIVE", "", 1));
    assert!(race["chats"][0]["missAt"].is_string());

    // A minute later the offer is missed and can still be started. A race that was created then is unchanged.
    app.advance(60).await;
    west.app.waker.wake();
    let missed = of_ada.event().await;
    assert_eq!(
        (status_change(&missed), &missed["record"]["missed"]),
        ((chat_of(&race, 0), "UPDATE", "ACTIVE", "", 2), &json!(true))
    );
    let other = west.data(&visitor, CREATE_RACE, race_input(second)).await["race"].take();
    assert_eq!(status_change(&of_ada.event().await), (chat_of(&other, 0), "INSERT", "ACTIVE", "", 1));
    let started = east.data(&ada, START_CHAT, json!({ "chat": chat_of(&race, 0) })).await;
    assert_eq!(started["outcome"], "STARTED");
    assert_eq!(status_change(&of_ada.event().await), (chat_of(&race, 0), "UPDATE", "STARTED", "", 3));

    let mut races = east.subscribe(&visitor, CHAT_RACE, json!({ "key": second })).await;
    races.ready().await;
    app.advance(60 + 300).await;
    east.app.waker.wake();
    let expired = races.event().await;
    assert_eq!((&expired["record"]["state"], &expired["record"]["version"]), (&json!("EXPIRED"), &json!(2)));
    let events = of_ada.until(|event| event["record"]["status"] == "FINISHED").await;
    let last = status_change(events.last().unwrap());
    assert_eq!((last.0, last.3), (chat_of(&other, 0), "EXPIRED"));
    assert_eq!(west.data(&ada, START_CHAT, json!({ "chat": chat_of(&other, 0) })).await["outcome"], "CLOSED");
    let race = east.data(&visitor, RACE, json!({ "key": first })).await;
    assert_eq!(race["state"], "WON", "a race that was won does not expire");
    invariants::check(&mut app.sql().await).await;
}

#[tokio::test]
async fn timers_that_came_due_while_every_server_was_down_fire_at_the_next_start() {
    let app = TestApp::new().await;
    let (eve, [ada, _]) = (visitor("eve"), ada_and_ben());
    let [short, long] = [Uuid::new_v4(), Uuid::new_v4()];
    let node = app.node().await;
    let mut input = race_input(short);
    input["input"]["expiresInSeconds"] = json!(40);
    node.data(&eve, CREATE_RACE, input).await;
    node.data(&eve, CREATE_RACE, race_input(long)).await;
    let mut inbox = node.subscribe(&ada, CHAT_STATUS, json!({})).await;
    assert_eq!(inbox.ready().await.len(), 2);
    let mut cursor: Value = node.data(&ada, "{ logCursor }", json!({})).await;
    node.stop().await;
    app.advance_without_service(60).await;
    let node = app.node().await;
    // Not at once: while no server lived, nobody was called.
    app.advance(60 + 11).await;
    node.app.waker.wake();
    let mut inbox = node.subscribe(&ada, CHAT_STATUS, json!({ "after": cursor.take() })).await;
    // Both were missed; one of them is over, too. Whichever timer came first, it ends like this.
    let mut last = std::collections::HashMap::new();
    let done = |key: Uuid, event: &Value| {
        event["record"]["key"] == json!(key)
            && if key == short {
                event["record"]["closeReason"] == "EXPIRED"
            } else {
                event["record"]["missed"] == true
            }
    };
    while last.len() < 2 {
        let event = inbox.event().await;
        for key in [short, long] {
            if done(key, &event) {
                last.insert(key, event["record"]["version"].clone());
            }
        }
    }
    assert_eq!(node.data(&eve, RACE, json!({ "key": short })).await["state"], "EXPIRED");
    let waiting = node.data(&eve, RACE, json!({ "key": long })).await;
    assert_eq!(waiting["state"], "WAITING");
    node.stop().await;
    invariants::check(&mut app.sql().await).await;
}
