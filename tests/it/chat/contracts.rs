//! Contracts: a company's server creates and changes them; every subscriber that a change concerns receives it.

use serde_json::json;
use switchboard::demo;
use uuid::Uuid;

use crate::support::{
    app::{TestApp, service},
    chat::{CHAT_STATUS, CREATE_CHAT, CREATE_CONTRACT, START_CHAT, ada_and_ben, chat_input, id, log_in, status_change},
};

const CONTRACT_STATUS: &str =
    "subscription($website: UUID, $after: Cursor) { contractStatus(websiteId: $website, after: $after) {
    operation cursor resync record { id status version agentId chatMissTime agent { name } } } }";
pub(super) const UPDATE_CONTRACT: &str =
    "mutation($id: UUID!, $patch: ContractPatch!) { updateContract(input: {id: $id, patch: $patch}) {
    contract { id version agentId chatMissTime name agent { name } } } }";

#[tokio::test]
async fn a_change_of_agent_moves_contract_and_offers_to_the_other_inbox() {
    let app = TestApp::new().await;
    let (east, west) = tokio::join!(app.node(), app.node());
    let (service, [ada, ben], eve) = (service(), ada_and_ben(), log_in(&east).await);
    let mut contracts_of_eve = west.subscribe(&eve, CONTRACT_STATUS, json!({})).await;
    assert_eq!(contracts_of_eve.ready().await.len(), 6);
    let mut contracts_of_ada = west.subscribe(&ada, CONTRACT_STATUS, json!({})).await;
    assert_eq!(contracts_of_ada.ready().await.len(), 3);
    let contract = json!({ "contract": { "websiteId": demo::WEBSITE_ID, "session": 1, "agentId": demo::AGENTS[0].1, "chatMissTime": 90, "name": "Night" } });
    let contract = id(&east.data(&service, CREATE_CONTRACT, contract).await["contract"]["id"]);
    for stream in [&mut contracts_of_eve, &mut contracts_of_ada] {
        let event = stream.event().await;
        assert_eq!(
            (&event["operation"], &event["record"]["id"], &event["record"]["version"]),
            (&json!("INSERT"), &json!(contract), &json!(1))
        );
        assert_eq!(event["record"]["agent"]["name"], "Ada");
    }

    let mut of_ada = east.subscribe(&ada, CHAT_STATUS, json!({})).await;
    let mut of_ben = west.subscribe(&ben, CHAT_STATUS, json!({})).await;
    of_ada.ready().await;
    of_ben.ready().await;
    let chat = id(&east.data(&eve, CREATE_CHAT, chat_input(Uuid::new_v4(), contract)).await["chat"]["id"]);
    assert_eq!(status_change(&of_ada.event().await), (chat, "INSERT", "ACTIVE", "", 1));
    let moved = west
        .data(
            &service,
            UPDATE_CONTRACT,
            json!({ "id": contract, "patch": { "agentId": demo::AGENTS[1].1, "name": null } }),
        )
        .await;
    assert_eq!(
        (&moved["contract"]["agent"]["name"], &moved["contract"]["name"], &moved["contract"]["version"]),
        (&json!("Ben"), &json!(null), &json!(2))
    );
    assert_eq!(moved["contract"]["chatMissTime"], 90, "absent keeps");
    assert_eq!(status_change(&of_ada.event().await), (chat, "DELETE", "ACTIVE", "", 2));
    assert_eq!(status_change(&of_ben.event().await), (chat, "INSERT", "ACTIVE", "", 2));
    assert_eq!(contracts_of_eve.event().await["operation"], "UPDATE");
    assert_eq!(contracts_of_ada.event().await["operation"], "DELETE");
    // The offer is Ben's now, and Ada's no more.
    assert_eq!(east.code(&ada, START_CHAT, json!({ "chat": chat })).await, "NOT_FOUND");
    assert_eq!(east.data(&ben, START_CHAT, json!({ "chat": chat })).await["outcome"], "STARTED");
    for wrong in [json!({ "session": 4 }), json!({ "status": "gone" }), json!({ "session": null })] {
        let code = east.code(&service, UPDATE_CONTRACT, json!({ "id": contract, "patch": wrong })).await;
        assert_eq!(code, "BAD_USER_INPUT", "{wrong}");
    }
}
