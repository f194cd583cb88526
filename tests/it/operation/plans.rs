//! The statements on lines look rows up by their whole keys, also with plans that were made on empty or small tables.

use super::{complete, grant, input, server};
use crate::support::{app::TestApp, plans};

const STATEMENTS: [&str; 10] = [
    "src/operation/sql/lock_race.sql",
    "src/operation/sql/lock_line.sql",
    "src/operation/sql/try_lock_race.sql",
    "src/operation/sql/try_lock_line.sql",
    "src/operation/sql/read_lines.sql",
    "src/operation/sql/write_lines.sql",
    "src/operation/sql/next_waiters.sql",
    "src/operation/sql/chat_parties.sql",
    "src/operation/sql/holders.sql",
    "src/operation/sql/waiting_holds.sql",
];

#[tokio::test]
async fn lines_and_requests_are_looked_up_by_their_whole_keys() {
    let app = TestApp::new().await;
    let mut session = plans::session(&app.database.options()).await;
    plans::assert_whole_keys(&mut session, "empty", &STATEMENTS).await;
    let node = app.node().await;
    let backend = server("backend");
    for number in 0..60 {
        let held = grant(&node, &backend, input("START_CHAT", "only", &format!("chat-{number}"))).await;
        assert!(complete(&node, &backend, &held).await);
    }
    sqlx::raw_sql("analyze").execute(&mut session).await.unwrap();
    plans::assert_whole_keys(&mut session, "small", &STATEMENTS).await;
}
