//! The statement that writes calls.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{call::record::CallRecord, platform::error::Result};

/// One field of each of some calls.
fn column<T>(calls: &[&CallRecord], field: impl Fn(&CallRecord) -> T) -> Vec<T> {
    calls.iter().map(|call| field(call)).collect()
}

/// Writes calls of a company, which are locked.
pub(in crate::call) async fn update_calls(
    connection: &mut PgConnection,
    company_id: Uuid,
    calls: &[&CallRecord],
) -> Result<()> {
    sqlx::query_file!(
        "src/call/sql/update_calls.sql",
        company_id,
        &column(calls, |call| call.id),
        &column(calls, |call| call.call_control_id.clone()) as &[Option<String>],
        &column(calls, |call| call.status.as_str().to_owned()),
        &column(calls, |call| call.end_reason.map(|reason| reason.as_str().to_owned())) as &[Option<String>],
        &column(calls, |call| call.told_reason.map(|reason| reason.as_str().to_owned())) as &[Option<String>],
        &column(calls, |call| call.told_at) as &[Option<OffsetDateTime>],
        &column(calls, |call| call.untold_at) as &[Option<OffsetDateTime>],
        &column(calls, |call| call.pending_hang_up),
        &column(calls, |call| call.dialing),
        &column(calls, |call| call.dialed),
        &column(calls, |call| call.hanging_up),
        &column(calls, |call| call.hung_up_until) as &[Option<OffsetDateTime>],
        &column(calls, |call| call.asked),
        &column(calls, |call| call.generation),
        &column(calls, |call| call.version),
        &column(calls, |call| call.started_at) as &[Option<OffsetDateTime>],
        &column(calls, |call| call.answered_at) as &[Option<OffsetDateTime>],
        &column(calls, |call| call.ended_at) as &[Option<OffsetDateTime>],
        &column(calls, |call| call.hang_up_at) as &[Option<OffsetDateTime>],
        &column(calls, |call| call.finalize_at) as &[Option<OffsetDateTime>],
        &column(calls, |call| call.finalized_at) as &[Option<OffsetDateTime>],
        &column(calls, |call| call.abandoned),
        &column(calls, |call| call.lease_expires_at) as &[Option<OffsetDateTime>],
        &column(calls, |call| call.updated_at),
    )
    .execute(connection)
    .await?;
    Ok(())
}
