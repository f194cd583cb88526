//! The first server after days without one.

use std::pin::pin;

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::support::{
    app::{TestApp, visitor},
    chat::{CREATE_RACE, race_input},
};

/// Waits until a server waits for a lock of this database.
async fn until_a_server_waits(connection: &mut PgConnection) {
    let waiting = "select exists (select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and pid <> pg_backend_pid())";
    while !sqlx::query_scalar::<_, bool>(waiting).fetch_one(&mut *connection).await.unwrap() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn after_days_without_a_server_the_first_write_succeeds() {
    let app = TestApp::new().await;
    // Past every day that the log has a partition for.
    app.advance(10 * 86_400).await;
    let mut sql = app.sql().await;
    sqlx::query("select pg_advisory_lock(hashtext('switchboard.event_days'))").execute(&mut sql).await.unwrap();
    let mut starting = pin!(app.node());
    tokio::select! {
        _ = &mut starting => panic!("it listens before the log can take today's events"),
        () = until_a_server_waits(&mut sql) => {}
    }
    sqlx::query("select pg_advisory_unlock_all()").execute(&mut sql).await.unwrap();
    let node = starting.await;
    let race = node.data(&visitor("eve"), CREATE_RACE, race_input(Uuid::new_v4())).await;
    assert_eq!(race["race"]["state"], json!("WAITING"));
    node.stop().await;
}
