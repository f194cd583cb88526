//! What a message costs the server, by who receives it.

use futures_util::future::join_all;
use serde_json::{Value, json};
use switchboard::{
    demo,
    platform::auth::{Role, token::Claims},
};
use uuid::Uuid;

use crate::support::{
    app::{TestApp, service, token},
    chat::{CREATE_CHAT, chat_input},
    client::{Client, Subscription},
    process::Process,
};

const SUBSCRIBERS: usize = 200;
const CHANGES: usize = 40;

const CHAT: &str = "subscription($id: UUID) { chatStatus(chatId: $id) {
    operation record { id key status missed headline customerName version insertedAt } cursor } }";
const UPDATE: &str = "mutation($id: UUID!, $headline: String!) {
    updateChat(input: {id: $id, patch: {headline: $headline}}) { chat { version } } }";

/// CPU time of the server so far, in seconds.
async fn cpu(client: &Client) -> f64 {
    let metrics = client.text("/metrics").await;
    let value = metrics.lines().find_map(|line| line.strip_prefix("process_cpu_seconds_total "));
    value.unwrap().parse().unwrap()
}

/// The CPU time of a message to one subscriber, in seconds.
async fn measure(app: &TestApp, tokens: &[String]) -> f64 {
    let server = Process::serve(&app.database.url(), &[]).await;
    let client = &server.client;
    let contract = demo::demo().contracts[0].id;
    let chat = client.data(&service(), CREATE_CHAT, chat_input(Uuid::new_v4(), contract)).await["chat"]["id"].take();
    let mut streams = Vec::new();
    for token in tokens {
        let mut stream = client.subscribe(token, CHAT, json!({ "id": chat })).await;
        stream.ready().await;
        streams.push(stream);
    }
    let mut before = 0.0;
    for change in 0..=CHANGES {
        // The first change warms up.
        if change == 1 {
            before = cpu(client).await;
        }
        let headline = format!("headline {change}");
        client.fields(&service(), UPDATE, json!({ "id": chat, "headline": headline })).await;
        for event in join_all(streams.iter_mut().map(Subscription::event)).await {
            assert_eq!(event["record"]["headline"], Value::from(headline.clone()));
        }
    }
    let messages = u32::try_from(CHANGES * tokens.len()).unwrap();
    (cpu(client).await - before) / f64::from(messages)
}

#[tokio::test]
async fn different_users_of_one_agent_cost_little_more_than_one_user() {
    let app = TestApp::new().await;
    let agent_id = Some(demo::demo().contracts[0].agent_id);
    let user =
        |name: String| token(&Claims { role: Role::Agent, agent_id, ..Claims::service(demo::COMPANY_ID, &name) });
    let equal = vec![user("user".to_owned()); SUBSCRIBERS];
    let different: Vec<String> = (0..SUBSCRIBERS).map(|number| user(format!("user {number}"))).collect();
    let mut ratios = Vec::new();
    for _ in 0..3 {
        let (of_equal, of_different) = (measure(&app, &equal).await, measure(&app, &different).await);
        println!("a message: {:.1} us to equal, {:.1} us to different callers", of_equal * 1e6, of_different * 1e6);
        ratios.push(of_different / of_equal);
    }
    ratios.sort_by(f64::total_cmp);
    assert!(ratios[1] < 1.3, "{ratios:?}");
}
