//! Statements on idempotency keys, each in a file of its own.

use std::time::Duration;

use sqlx::PgConnection;

use super::IdempotencyKey;
use crate::platform::error::Result;

/// Inserts a key; false if it is there. Waits for a transaction that is inserting it.
pub(super) async fn insert(connection: &mut PgConnection, key: &IdempotencyKey) -> Result<bool> {
    let inserted = sqlx::query_file!(
        "src/platform/idempotency/sql/insert_key.sql",
        key.company_id,
        key.caller,
        key.operation,
        key.key,
        key.content_hash.as_slice(),
    );
    Ok(inserted.execute(connection).await?.rows_affected() > 0)
}

/// A key as it was stored.
pub(super) struct KnownKey {
    pub(super) content_hash: Vec<u8>,
    pub(super) outcome: Option<String>,
}

/// Reads a key.
pub(super) async fn find(connection: &mut PgConnection, key: &IdempotencyKey) -> Result<Option<KnownKey>> {
    let known = sqlx::query_file_as!(
        KnownKey,
        "src/platform/idempotency/sql/find_key.sql",
        key.company_id,
        key.caller,
        key.operation,
        key.key,
    );
    Ok(known.fetch_optional(connection).await?)
}

/// Stores the outcome of the call whose transaction has inserted the key.
pub(super) async fn store(connection: &mut PgConnection, key: &IdempotencyKey, outcome: &str) -> Result<()> {
    sqlx::query_file!(
        "src/platform/idempotency/sql/store_outcome.sql",
        key.company_id,
        key.caller,
        key.operation,
        key.key,
        outcome,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes the key of a call that failed, in the transaction that has inserted it.
pub(super) async fn delete(connection: &mut PgConnection, key: &IdempotencyKey) -> Result<()> {
    sqlx::query_file!(
        "src/platform/idempotency/sql/delete_key.sql",
        key.company_id,
        key.caller,
        key.operation,
        key.key,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Deletes at most `limit` keys that are older than `retention`.
pub(super) async fn delete_old(connection: &mut PgConnection, retention: Duration, limit: i64) -> Result<u64> {
    let deleted = sqlx::query_file!("src/platform/idempotency/sql/delete_old_keys.sql", retention.as_secs_f64(), limit);
    Ok(deleted.execute(connection).await?.rows_affected())
}
