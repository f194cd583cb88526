//! What others write takes a bounded part of a server's memory.
#![cfg(target_os = "linux")]

use serde_json::json;
use sqlx::AssertSqlSafe;
use switchboard::demo;
use uuid::Uuid;

use crate::support::{
    app::{TestApp, visitor},
    chat::{CHAT_STATUS, CREATE_RACE, race_input},
    process::Process,
};

/// Events of one transaction.
const EVENTS: u64 = 300_000;

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
    let before = server.peak_memory();
    // Chats of others, each with a record as long as that of a real one.
    let company = demo::COMPANY_ID;
    let many = format!(
        "with other as materialized (
             select (payload::jsonb || '{{\"visitor\": \"another\"}}')::text::json as payload
             from event where type = 'ChatOffered' limit 1
         )
         insert into event (company_id, subject_type, subject_id, version, type, payload)
         select '{company}', 'chat', gen_random_uuid(), 1, 'ChatOffered', payload
         from generate_series(1, {EVENTS}), other"
    );
    sqlx::raw_sql(AssertSqlSafe(many)).execute(&mut app.sql().await).await.unwrap();
    for (token, stream) in visitors.iter().zip(&mut streams) {
        let later = Uuid::new_v4();
        server.client.data(token, CREATE_RACE, race_input(later)).await;
        // As a change, or with its state again: a reader that was cut off while it read gives up on so many.
        let after = stream.until(|event| event["record"]["key"] == json!(later)).await;
        let operation = &after.last().unwrap()["operation"];
        assert!(operation == "INSERT" || operation == "SNAPSHOT", "{after:?}");
    }
    let taken = server.peak_memory() - before;
    println!("{taken} MiB");
    assert!(taken < 64, "{taken} MiB");
}
