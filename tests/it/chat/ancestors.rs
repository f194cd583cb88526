//! Each failure of the systems that this server replaces, shown not to happen here.

use serde_json::{Value, json};
use switchboard::demo;
use uuid::Uuid;

use super::{
    HEADLINE, WRITE, agent_of, create_chat, create_race, create_won_race, new_visitor, race, start, texts, write,
};
use crate::support::app::TestApp;

const UPDATE: &str = "mutation($id: UUID!, $patch: ChatPatch!) {
    updateChat(input: {id: $id, patch: $patch}) { chat { status missed missAt version } } }";

#[tokio::test]
async fn the_server_decides_the_winner_not_each_browser() {
    let app = TestApp::new().await;
    let nodes = [app.node().await, app.node().await];
    let eve = new_visitor();
    for _ in 0..5 {
        let asked = create_race(&nodes[0], &eve).await;
        let [first, second] = [0, 1].map(|index| asked["chats"][index].clone());
        // The visitor's browser cannot start a chat.
        let patch = json!({ "id": first["id"], "patch": { "status": "STARTED" } });
        assert_eq!(nodes[0].code(&eve, UPDATE, patch).await, "FORBIDDEN");
        let agents = [agent_of(&first), agent_of(&second)];
        let (one, other) = tokio::join!(start(&nodes[0], &agents[0], &first), start(&nodes[1], &agents[1], &second));
        let mut outcomes = [one.as_str(), other.as_str()];
        outcomes.sort_unstable();
        assert_eq!(outcomes, ["LOST_RACE", "STARTED"]);
        // `updateChat` follows the same decision.
        let (loser, token) = if one == "STARTED" { (second, &agents[1]) } else { (first, &agents[0]) };
        let patch = json!({ "id": loser["id"], "patch": { "status": "STARTED" } });
        assert_eq!(nodes[1].code(token, UPDATE, patch).await, "CONFLICT");
    }
}

#[tokio::test]
async fn the_offers_that_lost_are_closed() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    let (asked, chat) = create_won_race(&node, &eve).await;
    let decided = race(&node, &eve, &asked["key"]).await;
    assert_eq!(decided["state"], "WON");
    assert_eq!(decided["winner"]["id"], chat["id"]);
    assert_eq!(decided["chats"][1]["closeReason"], "RESCINDED");
    // A chat that joins too late is withdrawn from the start.
    let taken: Vec<&Value> = (0..2).map(|index| &asked["chats"][index]["contract"]["id"]).collect();
    let free = demo::demo().contracts.into_iter().find(|contract| !taken.contains(&&json!(contract.id))).unwrap();
    let late = create_chat(&node, &eve, &free.id.to_string(), asked["key"].as_str()).await;
    assert_eq!((&late["status"], &late["closeReason"]), (&json!("FINISHED"), &json!("RESCINDED")));
}

#[tokio::test]
async fn a_listener_filtered_by_contract_never_sees_another_customers_chat() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let (eve, mallory) = (new_visitor(), new_visitor());
    let contract = demo::demo().contracts[0].id.to_string();
    let own = create_chat(&node, &mallory, &contract, None).await;
    start(&node, &agent_of(&own), &own).await;
    let document = "subscription($contract: UUID) { chatChanged(contractId: $contract) { operation record { id } } }";
    let mut stream = node.subscribe(&mallory, document, json!({ "contract": contract })).await;
    assert_eq!(stream.event().await["record"]["id"], own["id"], "its own started chat first");
    // Another customer's chat of the same contract is created, started and ended.
    let other = create_chat(&node, &eve, &contract, None).await;
    start(&node, &agent_of(&other), &other).await;
    super::end(&node, &eve, &other).await;
    super::end(&node, &mallory, &own).await;
    assert_eq!(stream.event().await["record"]["id"], own["id"]);
}

#[tokio::test]
async fn timers_run_on_the_server_and_do_not_restart_at_changes() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    let asked = create_race(&node, &eve).await;
    let chat = &asked["chats"][0];
    let missed = json!({ "id": chat["id"], "patch": { "missed": true } });
    // The tab's clock ran fast: nothing changes, and it is no error.
    let early = node.fields(&eve, UPDATE, missed.clone()).await["updateChat"]["chat"].take();
    assert_eq!((&early["missed"], &early["version"]), (&json!(false), &chat["version"]));
    let renamed = json!({ "id": chat["id"], "patch": { "customerName": "Eve Moneypenny" } });
    let renamed = node.fields(&eve, UPDATE, renamed).await["updateChat"]["chat"].take();
    assert_eq!(renamed["missAt"], chat["missAt"], "a change does not restart the timer");
    app.advance(31).await;
    let document = "mutation($id: UUID!) { updateChatMissed(input: {chatId: $id}) { chat { missed status } } }";
    let late = node.fields(&eve, document, json!({ "id": chat["id"] })).await["updateChatMissed"]["chat"].take();
    assert_eq!(late, json!({ "missed": true, "status": "ACTIVE" }));
    let unflag = json!({ "id": chat["id"], "patch": { "missed": false } });
    assert_eq!(node.fields(&eve, UPDATE, unflag).await["updateChat"]["chat"]["missed"], true);
    assert_eq!(start(&node, &agent_of(chat), chat).await, "STARTED", "a flag, never an end");
}

#[tokio::test]
async fn a_cancel_withdraws_every_offer() {
    let app = TestApp::new().await;
    let nodes = [app.node().await, app.node().await];
    let eve = new_visitor();
    let cancel = "mutation($key: UUID!) { cancelChatRace(input: {key: $key}) { outcome race { state
        chats { status closeReason } } } }";
    let asked = create_race(&nodes[0], &eve).await;
    let key = json!({ "key": asked["key"] });
    let agent = agent_of(&asked["chats"][0]);
    assert_eq!(nodes[1].code(&agent, cancel, key.clone()).await, "FORBIDDEN");
    let canceled = nodes[1].fields(&eve, cancel, key.clone()).await["cancelChatRace"].take();
    assert_eq!((&canceled["outcome"], &canceled["race"]["state"]), (&json!("CANCELED"), &json!("CANCELED")));
    for chat in canceled["race"]["chats"].as_array().unwrap() {
        assert_eq!(*chat, json!({ "status": "FINISHED", "closeReason": "CANCELED" }));
    }
    assert_eq!(start(&nodes[0], &agent, &asked["chats"][0]).await, "CLOSED");
    assert_eq!(nodes[0].fields(&eve, cancel, key).await["cancelChatRace"]["outcome"], "ALREADY_CLOSED");
    let timers: i64 = sqlx::query_scalar("select count(*) from switchboard.timer where subject_type like 'chat%'")
        .fetch_one(&mut app.sql().await)
        .await
        .unwrap();
    assert_eq!(timers, 0, "no timer is left of it");
    // Canceling and answering at once: one of the two, never both.
    for _ in 0..5 {
        let asked = create_race(&nodes[0], &eve).await;
        let chat = asked["chats"][0].clone();
        let (token, key) = (agent_of(&chat), json!({ "key": asked["key"] }));
        let (started, canceled) = tokio::join!(start(&nodes[0], &token, &chat), nodes[1].fields(&eve, cancel, key));
        let canceled = canceled["cancelChatRace"]["outcome"].as_str().unwrap().to_owned();
        assert!(
            matches!((started.as_str(), canceled.as_str()), ("STARTED", "ALREADY_WON") | ("CLOSED", "CANCELED")),
            "{started} {canceled}"
        );
    }
}

#[tokio::test]
async fn the_first_message_is_written_once_whatever_the_widget_repeats() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let eve = new_visitor();
    let (_, chat) = create_won_race(&node, &eve).await;
    assert_eq!(texts(&node, &eve, &chat).await, [HEADLINE], "written by whoever starts the chat, not by the widget");
    // The widget writes it all the same, crashes, and writes it again; with an id of its own, or without.
    let [own_id, other_id] = [(); 2].map(|()| Uuid::new_v4());
    let echo =
        |id: Option<Uuid>| json!({ "id": id, "chat": chat["id"], "text": format!(" {HEADLINE} "), "agent": false });
    let mut ids = Vec::new();
    for id in [None, Some(own_id), Some(own_id), None] {
        ids.push(node.fields(&eve, WRITE, echo(id)).await["createMessage"]["message"]["id"].take());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    write(&node, &agent_of(&chat), &chat, "How can I help?").await;
    write(&node, &eve, &chat, "It is late").await;
    // A very late repeat is still the same message. The same text under another id is a new one.
    let repeated = node.fields(&eve, WRITE, echo(Some(own_id))).await["createMessage"]["message"]["id"].take();
    assert_eq!(repeated, ids[0]);
    node.fields(&eve, WRITE, echo(Some(other_id))).await;
    assert_eq!(texts(&node, &eve, &chat).await, [HEADLINE, "How can I help?", "It is late", HEADLINE]);
}
