//! The moment at which one transaction waits for another, which tests of collisions wait for.

use sqlx::PgConnection;
use tokio::time::timeout;

use super::event_path::PATIENCE;

/// How many other sessions of this database wait for a lock.
pub(crate) async fn waiting(connection: &mut PgConnection) -> i64 {
    let waiting = "select count(*) from pg_stat_activity
                   where datname = current_database() and wait_event_type = 'Lock' and pid <> pg_backend_pid()";
    sqlx::query_scalar(waiting).fetch_one(connection).await.unwrap()
}

/// Waits until so many other sessions of this database wait for locks.
pub(crate) async fn until_waiting(connection: &mut PgConnection, least: i64) {
    let enough = async {
        while waiting(connection).await < least {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, enough).await.expect("they wait");
}
