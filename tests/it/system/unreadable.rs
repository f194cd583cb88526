//! Events that this build cannot decode are counted and named, so that an operator hears of them.

use serde_json::{Value, json};
use tokio::time::{Duration, sleep, timeout};
use uuid::Uuid;

use crate::support::{
    app::{TestApp, service, visitor},
    chat::{CHAT_STATUS, CREATE_RACE, race_input},
    process::Process,
};

async fn unreadable(server: &Process) -> u64 {
    let metrics = server.client.text("/metrics").await;
    let count = metrics.lines().find_map(|line| line.strip_prefix("switchboard_events_unreadable_total "));
    count.map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn an_event_that_cannot_be_decoded_is_counted_and_named_once_in_the_log() {
    let app = TestApp::new().await;
    let server = Process::serve(&app.database.url(), &[]).await;
    let eve = visitor("eve");
    let mut stream = server.client.subscribe(&service(), CHAT_STATUS, json!({})).await;
    stream.ready().await;
    let race = server.client.data(&eve, CREATE_RACE, race_input(Uuid::new_v4())).await;
    let chat = race["race"]["chats"][0]["id"].as_str().unwrap().to_owned();
    let known = stream.until(|event| event["record"]["id"] == json!(chat)).await;
    let mut own = server.client.subscribe(&eve, CHAT_STATUS, json!({})).await;
    own.ready().await;
    assert_eq!(unreadable(&server).await, 0);
    // As a newer build would write it: with a record that this one does not know. Nor does it say whom it concerns.
    let strange =
        "with touched as (update chat set version = version + 1 where id = $1 returning company_id, id, version)
        insert into event (company_id, subject_type, subject_id, version, type, payload)
        select company_id, 'chat', id::text, version, 'ChatFolded', '{\"shape\": \"strange\"}' from touched";
    let id: Uuid = chat.parse().unwrap();
    sqlx::query(strange).bind(id).execute(&mut app.sql().await).await.unwrap();
    let state = stream.until(|event| event["operation"] == "READY").await;
    assert_eq!(state.last().unwrap()["resync"], true, "{state:?}");
    // A visitor's stream, which reads what concerns that visitor only, cannot rule it out.
    let state = own.until(|event| event["operation"] == "READY").await;
    assert_eq!(state.last().unwrap()["resync"], true, "{state:?}");
    let version = |state: &[Value]| state.iter().find_map(|event| event["record"]["version"].as_i64());
    assert_eq!(version(&state), Some(2), "{state:?}");
    let counted = async {
        while unreadable(&server).await == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), counted).await.unwrap();
    // Another stream meets it too: counted again, but not said again.
    let before = unreadable(&server).await;
    let cursor = known.last().unwrap()["cursor"].clone();
    let mut other = server.client.subscribe(&service(), CHAT_STATUS, json!({ "after": &cursor })).await;
    other.ready().await;
    assert!(unreadable(&server).await > before);
    let mut own = server.client.subscribe(&eve, CHAT_STATUS, json!({ "after": cursor })).await;
    let state = own.until(|event| event["operation"] == "READY").await;
    assert_eq!((&state.last().unwrap()["resync"], version(&state)), (&json!(true), Some(2)), "{state:?}");
    let said: Vec<String> = server.said().into_iter().filter(|line| line.contains("cannot be decoded")).collect();
    assert!(said.len() == 1 && said[0].contains(&chat) && said[0].contains("ChatFolded"), "{said:?}");
}
