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

#[tokio::test]
async fn a_transaction_of_300_000_events_takes_little_memory() {
    let app = TestApp::new().await;
    let server = Process::serve(&app.database.url(), &[]).await;
    let eve = visitor("eve");
    let mut stream = server.client.subscribe(&eve, CHAT_STATUS, json!({})).await;
    stream.until(|event| event["operation"] == "READY").await;
    server.client.data(&eve, CREATE_RACE, race_input(Uuid::new_v4())).await;
    stream.event().await;
    let before = server.peak_memory();
    // Chats of others, each with a record as long as that of a real one.
    let company = demo::COMPANY_ID;
    let many = format!(
        "insert into event (company_id, subject_type, subject_id, version, type, payload)
         select '{company}', 'chat', gen_random_uuid(), 1, 'ChatOffered', payload
         from generate_series(1, 300000),
             (select payload from event where type = 'ChatOffered' limit 1) as of_eve (payload_of_eve),
             lateral (select (payload_of_eve::jsonb || '{{\"visitor\": \"another\"}}')::text::json) as other (payload)"
    );
    sqlx::raw_sql(AssertSqlSafe(many)).execute(&mut app.sql().await).await.unwrap();
    server.client.data(&eve, CREATE_RACE, race_input(Uuid::new_v4())).await;
    let after = stream.event().await;
    assert_eq!(after["operation"], "INSERT", "what was written later has come, so the server has read it all");
    let taken = server.peak_memory() - before;
    assert!(taken < 64, "{taken} MiB");
}
