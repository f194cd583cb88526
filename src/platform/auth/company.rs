//! Companies, the tenants. An operator creates them from the command line.

use sqlx::PgConnection;
use uuid::Uuid;

use super::sql;
use crate::platform::{
    clock::new_id,
    error::{Error, Result},
};

/// Creates a company and returns its id. Names are for people and need not be unique.
///
/// # Errors
/// `BAD_USER_INPUT` for a name that is empty, over 200 characters or not printable.
pub async fn create(connection: &mut PgConnection, name: &str) -> Result<Uuid> {
    let name = checked_name(name)?;
    let id = new_id();
    sql::insert_company(connection, id, name).await?;
    Ok(id)
}

/// Trims a name and checks the table's bounds.
pub(super) fn checked_name(name: &str) -> Result<&str> {
    let name = name.trim();
    if !(1..=200).contains(&name.chars().count()) {
        return Err(Error::invalid("name", "must have 1 to 200 characters"));
    }
    if name.contains(char::is_control) {
        return Err(Error::invalid("name", "must not contain control characters"));
    }
    Ok(name)
}
