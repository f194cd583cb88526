//! The statement that checks API keys. Managing them is the concept `tenant`.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::platform::error::Result;

/// What is needed to check a bearer.
pub(super) struct SecretRow {
    pub(super) secret_hash: Vec<u8>,
    pub(super) role: String,
    pub(super) revoked_at: Option<OffsetDateTime>,
}

/// The key of this id, revoked or not.
pub(super) async fn find_secret(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
) -> Result<Option<SecretRow>> {
    let row = sqlx::query_file_as!(SecretRow, "src/platform/auth/sql/find_secret.sql", company_id, id);
    Ok(row.fetch_optional(connection).await?)
}
