//! The first server after days without one.

use std::pin::pin;

use serde_json::json;
use uuid::Uuid;

use crate::support::{
    app::{TestApp, visitor},
    chat::{CREATE_RACE, race_input},
    locks::until_waiting,
};

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
        () = until_waiting(&mut sql, 1) => {}
    }
    sqlx::query("select pg_advisory_unlock_all()").execute(&mut sql).await.unwrap();
    let node = starting.await;
    let race = node.data(&visitor("eve"), CREATE_RACE, race_input(Uuid::new_v4())).await;
    assert_eq!(race["race"]["state"], json!("WAITING"));
    node.stop().await;
}
