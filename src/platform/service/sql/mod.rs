//! The statement of a server that lives.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use super::DEAD_AFTER;
use crate::platform::error::Result;

/// Stamps the server's row. Unless this server `lived` until now, looks whether any did; if none, notes that service
/// resumed and puts off timers that came due before. Returns whether it did so.
pub(super) async fn stamp(
    connection: &mut PgConnection,
    server_id: Uuid,
    lived: bool,
    grace: Duration,
    timers_for_people: &[(&str, &str)],
) -> Result<bool> {
    let (subject_types, purposes): (Vec<&str>, Vec<&str>) = timers_for_people.iter().copied().unzip();
    let resumed = sqlx::query_file_scalar!(
        "src/platform/service/sql/stamp.sql",
        server_id,
        lived,
        DEAD_AFTER.as_secs_f64(),
        grace.as_secs_f64(),
        &subject_types as &[&str],
        &purposes as &[&str],
    )
    .fetch_one(connection)
    .await?;
    Ok(resumed)
}
