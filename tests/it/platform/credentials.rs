//! Credentials in use: tokens that expire and keys that are revoked while a socket is open, and repeated logins.

use serde_json::{Value, json};
use switchboard::demo;
use time::Duration;

use crate::support::{
    app::{TestApp, agent, service, visitor},
    chat::{CHAT_STATUS, CREATE_RACE, log_in, race_input},
    process::{complaint, printed, switchboard_on},
};

const LOGIN: &str = "mutation($key: UUID!) { consumerLogin(input: {publicKey: $key}) { jwtToken } }";

#[tokio::test]
async fn a_socket_is_closed_when_its_token_expires() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let short = visitor("eve");
    let mut open = node.subscribe(&short, CHAT_STATUS, json!({})).await;
    open.ready().await;
    node.app.clock.advance(Duration::minutes(59));
    node.data(&short, CREATE_RACE, race_input(uuid::Uuid::new_v4())).await;
    assert_eq!(open.event().await["operation"], "INSERT", "not yet");
    assert_eq!(open.event().await["operation"], "INSERT");
    node.app.clock.advance(Duration::minutes(2));
    let (code, reason) = open.socket.closed().await;
    assert_eq!((code, &*reason), (4403, "token expired"));
    let answer = node.run(&short, "{ viewer { id } }", json!({})).await;
    assert_eq!((answer.status, answer.code()), (401, "UNAUTHENTICATED"));
    // A new socket with this token is refused; one without a token is anonymous.
    let mut late = crate::support::socket::Socket::speaking(node.address, "graphql-transport-ws").await;
    late.send(json!({ "type": "connection_init", "payload": { "authToken": short } })).await;
    assert_eq!(late.closed().await.0, 4403);
}

#[tokio::test]
async fn a_key_that_the_command_revokes_is_refused_and_its_sockets_are_closed() {
    let app = TestApp::new().await;
    let (url, company) = (app.database.url(), demo::COMPANY_ID.to_string());
    let node = app.node().await;
    let key = |arguments: &[&str]| switchboard_on(&url, &[&["api-key"], arguments, &["--company", &company]].concat());
    let created: Value =
        serde_json::from_str(&printed(key(&["create", "--role", "service", "--name", "backend"])).await).unwrap();
    let (id, text) = (created["id"].as_str().unwrap(), created["key"].as_str().unwrap());
    let viewer = node.data(text, "{ viewer { id role companyId } }", json!({})).await;
    assert_eq!(viewer, json!({ "id": id, "role": "service", "companyId": company }));
    let list = printed(key(&["list"])).await;
    assert!(list.contains(id) && list.contains("valid") && list.contains("backend") && !list.contains(text), "{list}");

    let mut open = node.subscribe(text, CHAT_STATUS, json!({})).await;
    open.ready().await;
    assert_eq!(printed(key(&["revoke", "--id", id])).await.trim(), "revoked");
    let (code, reason) = open.socket.closed().await;
    assert_eq!((code, &*reason), (4403, "API key revoked"));
    let answer = node.run(text, "{ viewer { id } }", json!({})).await;
    assert_eq!((answer.status, answer.code()), (401, "UNAUTHENTICATED"));
    assert!(printed(key(&["list"])).await.contains("revoked"));
    complaint(key(&["revoke", "--id", id])).await;
    complaint(key(&["create", "--role", "agent"])).await;
}

#[tokio::test]
async fn a_visitor_keeps_its_identity_and_a_bad_bearer_does_not_prevent_login() {
    let app = TestApp::new().await;
    let node = app.node().await;
    let login = async |bearer: &str| {
        let token = node.data(bearer, LOGIN, json!({ "key": demo::PUBLIC_KEY })).await["jwtToken"].take();
        let viewer = node.data(token.as_str().unwrap(), "{ viewer { id role companyId websiteId } }", json!({})).await;
        assert_eq!((&viewer["role"], &viewer["websiteId"]), (&json!("consumer"), &json!(demo::WEBSITE_ID)));
        assert_eq!(viewer["companyId"], json!(demo::COMPANY_ID));
        (token.as_str().unwrap().to_owned(), viewer["id"].as_str().unwrap().to_owned())
    };
    let (first, sub) = login("").await;
    assert_eq!(login(&first).await.1, sub, "with a valid token it stays who it is");
    for other in ["", "not.a.token", "sbk_nonsense", &service(), &agent(demo::AGENTS[0].1)] {
        assert_ne!(login(other).await.1, sub, "{other}");
    }
    // A token that has expired proves nothing any more.
    node.app.clock.advance(Duration::days(366));
    let answer = node.run(&first, LOGIN, json!({ "key": demo::PUBLIC_KEY })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // Beside other fields the bad bearer counts.
    let both = "mutation($key: UUID!) { consumerLogin(input: {publicKey: $key}) { jwtToken } createWebsite(input: {website: {}}) { publicKey } }";
    assert_eq!(node.run("not.a.token", both, json!({ "key": demo::PUBLIC_KEY })).await.code(), "UNAUTHENTICATED");
    assert_eq!(node.code("", LOGIN, json!({ "key": uuid::Uuid::new_v4() })).await, "NOT_FOUND");
}

#[tokio::test]
async fn in_development_mode_anonymous_callers_act_as_the_demo_service_on_loopback_only() {
    let app = TestApp::new().await;
    let node = app.node_with(&["--dev"]).await;
    let viewer = node.data("", "{ viewer { role companyId } }", json!({})).await;
    assert_eq!(viewer, json!({ "role": "service", "companyId": demo::COMPANY_ID }));
    assert_eq!(node.run("not.a.token", "{ viewer { id } }", json!({})).await.status, 401);
    let mut open = node.subscribe("", CHAT_STATUS, json!({})).await;
    open.ready().await;
    node.data(&log_in(&node).await, CREATE_RACE, race_input(uuid::Uuid::new_v4())).await;
    assert_eq!(open.event().await["operation"], "INSERT");
    let elsewhere = switchboard_on(&app.database.url(), &["serve", "--dev", "--listen", "0.0.0.0:0"]);
    let said = complaint(elsewhere).await;
    assert!(said.contains("SWITCHBOARD_DEV") && said.contains("loopback"), "{said}");
}
