//! Whether servers live: their stamps, and timers that came due while none did.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use switchboard::platform::service::DEAD_AFTER;
use time::OffsetDateTime;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use crate::support::{
    app::{Node, TestApp, visitor},
    chat::{CHAT_STATUS, CREATE_RACE, RACE, START_CHAT, ada_and_ben, chat_of, race_input},
    client::Subscription,
    proxy::{Proxy, Road},
};

async fn resumed_at(connection: &mut PgConnection) -> Option<OffsetDateTime> {
    sqlx::query_scalar("select switchboard.resumed_at()").fetch_one(connection).await.unwrap()
}

/// Waits until a server has stamped by the present clock.
async fn until_stamped(connection: &mut PgConnection) {
    let stamped = async {
        loop {
            let fresh =
                "select exists (select from service_alive where stamped_at > switchboard.now() - interval '3 s')";
            if sqlx::query_scalar(fresh).fetch_one(&mut *connection).await.unwrap() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), stamped).await.expect("a stamp");
}

/// Opens a race and the inbox of Ada, to whom it is offered.
async fn offer(node: &Node, key: Uuid, expires_in: Option<i64>) -> (Value, Subscription) {
    let mut input = race_input(key);
    input["input"]["expiresInSeconds"] = json!(expires_in);
    let race = node.data(&visitor("eve"), CREATE_RACE, input).await["race"].take();
    let [ada, _] = ada_and_ben();
    let inbox = node.subscribe(&ada, CHAT_STATUS, json!({ "key": key })).await;
    (race, inbox)
}

#[tokio::test]
async fn what_came_due_while_no_server_lived_gives_people_time_after_service_resumed() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let [answered, missed, expired] = [(); 3].map(|()| Uuid::new_v4());
    let (race, _) = offer(&node, answered, None).await;
    let (unanswered, _) = offer(&node, missed, None).await;
    offer(&node, expired, Some(40)).await;
    let mut sql = app.sql().await;
    until_stamped(&mut sql).await;
    let before = resumed_at(&mut sql).await;
    node.stop().await;

    app.advance_without_service(60).await;
    let node = app.node().await;
    until_stamped(&mut sql).await;
    assert!(resumed_at(&mut sql).await > before);
    let early: i64 = sqlx::query_scalar("select count(*) from timer where due_at < switchboard.now() + interval '5 s'")
        .fetch_one(&mut sql)
        .await
        .unwrap();
    assert_eq!(early, 0, "the default grace is 10 s");
    // Nor does the customer's own clock count.
    let flag = "mutation($chat: UUID!) { updateChat(input: {id: $chat, patch: {missed: true}}) { chat { missed } } }";
    let flagged = node.data(&visitor("eve"), flag, json!({ "chat": chat_of(&unanswered, 0) })).await;
    assert_eq!(flagged["chat"]["missed"], false);
    let [ada, _] = ada_and_ben();
    let started = node.data(&ada, START_CHAT, json!({ "chat": chat_of(&race, 0) })).await;
    assert_eq!(started["outcome"], "STARTED");

    let mut inbox = node.subscribe(&ada, CHAT_STATUS, json!({})).await;
    inbox.until(|event| event["operation"] == "READY").await;
    app.advance(60 + 11).await;
    node.app.waker.wake();
    let mut ends = HashSet::new();
    while ends.len() < 2 {
        let record = inbox.event().await["record"].take();
        if record["key"] == json!(missed) && record["missed"] == true {
            ends.insert(missed);
        } else if record["key"] == json!(expired) && record["closeReason"] == "EXPIRED" {
            ends.insert(expired);
        }
    }
    let race = node.data(&visitor("eve"), RACE, json!({ "key": answered })).await;
    let started = race["chats"].as_array().unwrap().iter().find(|chat| chat["status"] == "STARTED").unwrap();
    assert_eq!(started["missed"], false, "it was answered in the time that was given");
}

#[tokio::test]
async fn a_short_absence_is_no_outage() {
    let app = TestApp::new().await;
    let node = app.node().await;
    offer(&node, Uuid::new_v4(), None).await;
    let mut sql = app.sql().await;
    until_stamped(&mut sql).await;
    let before = resumed_at(&mut sql).await;
    node.stop().await;
    // The offer comes due shortly before a deployment has finished.
    app.advance(59).await;
    app.advance_without_service(61).await;
    let node = app.node().await;
    let [ada, _] = ada_and_ben();
    let mut inbox = node.subscribe(&ada, CHAT_STATUS, json!({})).await;
    inbox.until(|event| event["record"]["missed"] == true).await;
    assert_eq!(resumed_at(&mut sql).await, before);
}

#[tokio::test]
async fn a_clock_put_forward_is_no_outage() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let (_, mut inbox) = offer(&node, Uuid::new_v4(), None).await;
    inbox.until(|event| event["operation"] == "READY").await;
    let mut sql = app.sql().await;
    until_stamped(&mut sql).await;
    let before = resumed_at(&mut sql).await;
    app.advance_without_service(100).await;
    until_stamped(&mut sql).await;
    inbox.until(|event| event["record"]["missed"] == true).await;
    assert_eq!(resumed_at(&mut sql).await, before, "its server lived");
}

#[tokio::test]
async fn each_server_has_a_row_that_it_stamps() {
    let app = TestApp::new().await;
    let (one, other) = tokio::join!(app.node(), app.node());
    let mut sql = PgConnection::connect_with(&app.database.options()).await.unwrap();
    let count = "select count(*) from service_alive where stamped_at > switchboard.now() - interval '5 s'";
    let both = async {
        while sqlx::query_scalar::<_, i64>(count).fetch_one(&mut sql).await.unwrap() < 2 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), both).await.expect("two rows");
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn an_outage_of_the_database_is_one_for_the_servers_that_ran_through_it() {
    let app = TestApp::new().await;
    let proxy = Proxy::before(&app.database.options()).await;
    let flags = ["--timer-poll", "20ms", "--database-acquire-timeout", "1s"];
    let node = Node::start(proxy.options(&app.database.options()), &flags).await;
    let mut sql = app.sql().await;
    until_stamped(&mut sql).await;
    let before = resumed_at(&mut sql).await;
    let key = Uuid::new_v4();
    let (race, _) = offer(&node, key, Some(3)).await;
    proxy.set(Road::Cut);
    // Longer than a server may be silent.
    sleep(DEAD_AFTER + Duration::from_millis(500)).await;
    // The server has its connections again, but cannot stamp: then it does not know yet whether there was an outage.
    sqlx::raw_sql("begin; lock table service_alive in exclusive mode").execute(&mut sql).await.unwrap();
    proxy.set(Road::Pass);
    let ready = async {
        while node.status("/ready").await != 200 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), ready).await.expect("a server that is ready");
    // Long enough for many looks at the timers.
    sleep(Duration::from_millis(500)).await;
    let state: String = sqlx::query_scalar("select state from chat_race where key = $1")
        .bind(key)
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert_eq!(state, "WAITING", "its time ended while no server lived");
    sqlx::raw_sql("commit").execute(&mut sql).await.unwrap();
    until_stamped(&mut sql).await;
    assert!(resumed_at(&mut sql).await > before);
    let [ada, _] = ada_and_ben();
    let started = node.data(&ada, START_CHAT, json!({ "chat": chat_of(&race, 0) })).await;
    assert_eq!(started["outcome"], "STARTED");
}
