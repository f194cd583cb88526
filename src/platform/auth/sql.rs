//! Every query on companies and API keys.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::api_key::ApiKey;
use crate::platform::error::Result;

/// Most keys of one list.
const LIST_LIMIT: i64 = 1_000;

pub(super) async fn insert_company(connection: &mut PgConnection, id: Uuid, name: &str) -> Result<()> {
    sqlx::query!("insert into company (id, name) values ($1, $2)", id, name).execute(connection).await?;
    Ok(())
}

/// The new key; `None` if there is no such company.
pub(super) async fn insert_api_key(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
    name: &str,
    role: &str,
    secret_hash: &[u8],
) -> Result<Option<ApiKey>> {
    // Selects the company, so that an unknown one gives no row; a foreign key error would abort the caller's
    // transaction.
    let key = sqlx::query_as!(
        ApiKey,
        "insert into api_key (company_id, id, name, role, secret_hash)
         select company.id, $2, $3, $4, $5 from company where company.id = $1
         returning company_id, id, name, role, version, inserted_at, revoked_at",
        company_id,
        id,
        name,
        role,
        secret_hash,
    )
    .fetch_optional(connection)
    .await?;
    Ok(key)
}

pub(super) async fn list_api_keys(connection: &mut PgConnection, company_id: Uuid) -> Result<Vec<ApiKey>> {
    let keys = sqlx::query_as!(
        ApiKey,
        "select company_id, id, name, role, version, inserted_at, revoked_at from api_key
         where company_id = $1 order by id limit $2",
        company_id,
        LIST_LIMIT,
    )
    .fetch_all(connection)
    .await?;
    Ok(keys)
}

/// The key after its revocation; `None` if there is no such key or it was revoked before.
pub(super) async fn revoke_api_key(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
) -> Result<Option<ApiKey>> {
    let revoked = sqlx::query_as!(
        ApiKey,
        "update api_key set revoked_at = switchboard.now(), version = version + 1
         where company_id = $1 and id = $2 and revoked_at is null
         returning company_id, id, name, role, version, inserted_at, revoked_at",
        company_id,
        id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(revoked)
}

/// The columns that a check of a key needs.
pub(super) struct SecretRow {
    pub(super) secret_hash: Vec<u8>,
    pub(super) role: String,
    pub(super) revoked_at: Option<OffsetDateTime>,
}

pub(super) async fn find_secret(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
) -> Result<Option<SecretRow>> {
    let row = sqlx::query_as!(
        SecretRow,
        "select secret_hash, role, revoked_at from api_key where company_id = $1 and id = $2",
        company_id,
        id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row)
}
