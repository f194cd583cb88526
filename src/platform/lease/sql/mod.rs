//! Statements on leases, each in a file of its own.

use sqlx::PgConnection;

use super::{Lease, LeaseKey, Seen};
use crate::platform::error::Result;

/// Inserts a lease that nobody has, unless there is one of this key.
pub(super) async fn insert_free(connection: &mut PgConnection, key: &LeaseKey) -> Result<()> {
    sqlx::query_file!(
        "src/platform/lease/sql/insert_free_lease.sql",
        key.company_id,
        key.subject.subject_type,
        key.subject.id,
        key.name,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Locks a lease, then reads it and the time; `None` if there is none of this key.
pub(super) async fn lock(connection: &mut PgConnection, key: &LeaseKey) -> Result<Option<Seen>> {
    sqlx::query_file!(
        "src/platform/lease/sql/lock_lease.sql",
        key.company_id,
        key.subject.subject_type,
        key.subject.id,
        key.name,
    )
    .fetch_optional(&mut *connection)
    .await?;
    // In a statement of its own: the lock may have waited, and the time of its statement is older.
    let seen = sqlx::query_file_as!(
        Seen,
        "src/platform/lease/sql/read_lease.sql",
        key.company_id,
        key.subject.subject_type,
        key.subject.id,
        key.name,
    );
    Ok(seen.fetch_optional(connection).await?)
}

/// Writes a lease, which is locked.
pub(super) async fn write(
    connection: &mut PgConnection,
    key: &LeaseKey,
    owner: Option<&str>,
    lease: Lease,
) -> Result<()> {
    sqlx::query_file!(
        "src/platform/lease/sql/write_lease.sql",
        key.company_id,
        key.subject.subject_type,
        key.subject.id,
        key.name,
        owner,
        lease.token,
        lease.expires_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}
