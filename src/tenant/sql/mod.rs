//! Statements on companies and API keys, each in a file of its own.

use sqlx::PgConnection;
use uuid::Uuid;

use super::ApiKey;
use crate::platform::{
    auth::{Role, api_key::Bearer},
    error::Result,
};

/// Most keys that one list shows.
const LIST_LIMIT: i64 = 1_000;

/// Inserts a company.
pub(super) async fn insert_company(connection: &mut PgConnection, id: Uuid, name: &str) -> Result<()> {
    sqlx::query_file!("src/tenant/sql/insert_company.sql", id, name).execute(connection).await?;
    Ok(())
}

/// Inserts a key; `None` if there is no such company.
pub(super) async fn insert_api_key(
    connection: &mut PgConnection,
    bearer: &Bearer,
    name: &str,
    role: Role,
) -> Result<Option<ApiKey>> {
    let hash = bearer.hash();
    let key = sqlx::query_file_as!(
        ApiKey,
        "src/tenant/sql/insert_api_key.sql",
        bearer.company_id,
        bearer.id,
        name,
        role.as_str(),
        hash.as_slice(),
    );
    Ok(key.fetch_optional(connection).await?)
}

/// A company's keys, oldest first.
pub(super) async fn list_api_keys(connection: &mut PgConnection, company_id: Uuid) -> Result<Vec<ApiKey>> {
    let keys = sqlx::query_file_as!(ApiKey, "src/tenant/sql/list_api_keys.sql", company_id, LIST_LIMIT);
    Ok(keys.fetch_all(connection).await?)
}

/// Revokes a key; `None` if there is none that is valid.
pub(super) async fn revoke_api_key(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
) -> Result<Option<ApiKey>> {
    let key = sqlx::query_file_as!(ApiKey, "src/tenant/sql/revoke_api_key.sql", company_id, id);
    Ok(key.fetch_optional(connection).await?)
}
