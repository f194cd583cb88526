//! A dump of the database, restored into a cluster that has counted fewer transactions.

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sqlx::Connection as _;
use uuid::Uuid;

use crate::support::{
    app::{TestApp, visitor},
    chat::{CHAT_STATUS, CREATE_RACE, START_CHAT, ada_and_ben, chat_of, race_input},
    cluster::OwnCluster,
    process::Process,
};

const ONE_CHAT: &str = "subscription($chat: UUID!, $after: Cursor) { chatStatus(chatId: $chat, after: $after) {
    operation cursor resync record { id version } } }";

fn is_ready(event: &Value) -> bool {
    event["operation"] == "READY"
}

/// Copies a database as an operator would: `pg_dump --create | psql`.
fn copy(younger: &OwnCluster, from: &str, to: &str) {
    let mut dump = Command::new(younger.program("pg_dump"));
    let mut dump = dump.args(["--create", "--dbname", from]).stdout(Stdio::piped()).spawn().unwrap();
    let mut restore = Command::new(younger.program("psql"));
    restore.args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", to]);
    let restored = restore.stdin(dump.stdout.take().unwrap()).stdout(Stdio::null()).status().unwrap();
    assert!(dump.wait().unwrap().success() && restored.success());
}

#[tokio::test]
async fn after_a_dump_is_restored_into_a_younger_cluster_streams_resync_and_go_on() {
    let app = TestApp::new().await;
    let mut old = app.sql().await;
    // As in a cluster that has long been in use.
    let uses = "do $$ begin for n in 1..5000 loop perform pg_current_xact_id(); commit; end loop; end $$";
    sqlx::raw_sql(uses).execute(&mut old).await.unwrap();
    let eve = visitor("eve");
    let before = Process::serve(&app.database.url(), &[]).await;
    let race = before.client.data(&eve, CREATE_RACE, race_input(Uuid::new_v4())).await;
    let chat = chat_of(&race["race"], 0);
    let mut all = before.client.subscribe(&eve, CHAT_STATUS, json!({})).await;
    all.ready().await;
    let mut one = before.client.subscribe(&eve, ONE_CHAT, json!({ "chat": chat })).await;
    let dumped = one.until(is_ready).await;
    let of_one = dumped[1]["cursor"].clone();
    before.client.data(&eve, CREATE_RACE, race_input(Uuid::new_v4())).await;
    let of_all = all.event().await["cursor"].clone();
    drop((all, one, before));

    let mut younger = OwnCluster::start().await;
    let name = app.database.options().get_database().unwrap().to_owned();
    copy(&younger, &app.database.url(), &younger.url());
    let options = younger.options().database(&name);
    let mut new = sqlx::PgConnection::connect_with(&options).await.unwrap();
    let count = "select pg_snapshot_xmax(pg_current_snapshot())::text::bigint";
    let [old_count, new_count]: [i64; 2] = [
        sqlx::query_scalar(count).fetch_one(&mut old).await.unwrap(),
        sqlx::query_scalar(count).fetch_one(&mut new).await.unwrap(),
    ];
    assert!(new_count < old_count, "the new cluster is younger: {new_count} < {old_count}");

    let url = younger.url().replace("/switchboard?", &format!("/{name}?"));
    let after = Process::serve(&url, &[]).await;
    let mut all = after.client.subscribe(&eve, CHAT_STATUS, json!({ "after": of_all })).await;
    let state = all.until(is_ready).await;
    assert!(state.iter().all(|event| event["resync"] == true), "{state:?}");
    assert!(state.len() > 2, "with every chat: {state:?}");
    let mut one = after.client.subscribe(&eve, ONE_CHAT, json!({ "chat": chat, "after": of_one })).await;
    let state = one.until(is_ready).await;
    assert!(state.iter().all(|event| event["resync"] == true), "{state:?}");
    assert_eq!(state[0]["record"], dumped[0]["record"], "the state that was dumped");
    // They go on, and their new cursors are good.
    let [ada, _] = ada_and_ben();
    after.client.data(&ada, START_CHAT, json!({ "chat": chat })).await;
    let started = one.event().await;
    assert_eq!((&started["operation"], &started["resync"]), (&json!("UPDATE"), &json!(false)));
    let started = all.until(|event| event["record"]["id"] == json!(chat)).await.pop().unwrap();
    let mut resumed = after.client.subscribe(&eve, CHAT_STATUS, json!({ "after": started["cursor"] })).await;
    let rest = resumed.until(is_ready).await;
    assert!(rest.iter().all(|event| event["resync"] == false && event["operation"] != "SNAPSHOT"), "{rest:?}");
    drop((old, new, after));
    younger.crash().await;
}
