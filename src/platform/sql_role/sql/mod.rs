//! Statements on the grants of SQL callers, each in a file of its own.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::platform::error::Result;

/// True if there is such a company.
pub(super) async fn company_exists(connection: &mut PgConnection, company_id: Uuid) -> Result<bool> {
    let there = sqlx::query_file_scalar!("src/platform/sql_role/sql/company_exists.sql", company_id);
    Ok(there.fetch_one(connection).await?)
}

/// True if the database knows this role.
pub(super) async fn role_exists(connection: &mut PgConnection, role: &str) -> Result<bool> {
    let there = sqlx::query_file_scalar!("src/platform/sql_role/sql/role_exists.sql", role);
    Ok(there.fetch_one(connection).await?)
}

/// Grants a company to a role; false if it was granted before.
pub(super) async fn grant(connection: &mut PgConnection, company_id: Uuid, role: &str) -> Result<bool> {
    let granted = sqlx::query_file!("src/platform/sql_role/sql/grant_company.sql", company_id, role);
    Ok(granted.execute(connection).await?.rows_affected() > 0)
}

/// Takes a company from a role; false if it was not granted.
pub(super) async fn revoke(connection: &mut PgConnection, company_id: Uuid, role: &str) -> Result<bool> {
    let revoked = sqlx::query_file!("src/platform/sql_role/sql/revoke_company.sql", company_id, role);
    Ok(revoked.execute(connection).await?.rows_affected() > 0)
}

/// Lets all roles that are granted a company call the functions for SQL callers.
pub(super) async fn grant_functions(connection: &mut PgConnection) -> Result<()> {
    sqlx::query_file!("src/platform/sql_role/sql/grant_functions.sql").fetch_one(connection).await?;
    Ok(())
}
