//! What others write takes a bounded part of a server's memory.
#![cfg(target_os = "linux")]

use std::time::Duration;

use serde_json::json;
use sqlx::AssertSqlSafe;
use switchboard::demo;
use tokio::time::sleep;
use uuid::Uuid;

use crate::support::{
    app::{TestApp, visitor},
    chat::{CHAT_STATUS, CREATE_RACE, race_input},
    process::Process,
};

/// Events of one transaction.
const EVENTS: u64 = 300_000;

/// How many events the server has read from the log.
async fn events_read(server: &Process) -> u64 {
    let metrics = reqwest::get(server.client.url("/metrics")).await.unwrap().text().await.unwrap();
    let read = metrics.lines().find_map(|line| line.strip_prefix("switchboard_events_read_total "));
    read.map_or(0, |read| read.parse().unwrap())
}

#[tokio::test]
async fn a_transaction_of_300_000_events_takes_little_memory_and_every_stream_goes_on() {
    let app = TestApp::new().await;
    let server = Process::serve(&app.database.url(), &[]).await;
    let visitors = ["eve", "ada", "joe"].map(visitor);
    let mut streams = Vec::new();
    for token in &visitors {
        let mut stream = server.client.subscribe(token, CHAT_STATUS, json!({})).await;
        stream.until(|event| event["operation"] == "READY").await;
        server.client.data(token, CREATE_RACE, race_input(Uuid::new_v4())).await;
        stream.event().await;
        streams.push(stream);
    }
    let (before, read) = (server.peak_memory(), events_read(&server).await);
    // Chats of others, each with a record as long as that of a real one.
    let company = demo::COMPANY_ID;
    let many = format!(
        "insert into event (company_id, subject_type, subject_id, version, type, payload)
         select '{company}', 'chat', gen_random_uuid(), 1, 'ChatOffered', payload
         from generate_series(1, {EVENTS}),
             (select payload from event where type = 'ChatOffered' limit 1) as of_eve (payload_of_eve),
             lateral (select (payload_of_eve::jsonb || '{{\"visitor\": \"another\"}}')::text::json) as other (payload)"
    );
    sqlx::raw_sql(AssertSqlSafe(many)).execute(&mut app.sql().await).await.unwrap();
    for (token, stream) in visitors.iter().zip(&mut streams) {
        let later = Uuid::new_v4();
        server.client.data(token, CREATE_RACE, race_input(later)).await;
        let after = stream.until(|event| event["record"]["key"] == json!(later)).await;
        assert!(after.iter().all(|event| event["operation"] == "INSERT"), "no resync: {after:?}");
    }
    // The server counts a read after it has delivered its events.
    while events_read(&server).await < read + EVENTS {
        sleep(Duration::from_millis(20)).await;
    }
    let taken = server.peak_memory() - before;
    println!("{taken} MiB");
    assert!(taken < 64, "{taken} MiB");
}
