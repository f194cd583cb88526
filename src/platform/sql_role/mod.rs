//! SQL callers: which company a database role acts for.
//!
//! Dialers and older programs call functions of the schema `switchboard` instead of the API. A function runs as its owner
//! (`security definer`), who may do everything; so it must find out for whom it works:
//!
//! ```text
//! sql-role grant ─► table sql_principal (company, role)
//! caller: set switchboard.company_id = '…'; select some_function(…)
//! function: require_sql_company() ─► the setting names a company that session_user is granted? its id : SQLSTATE 42501
//! ```
//!
//! # Guarantees
//! - The setting only chooses among granted companies. Anybody may set it; without a grant it opens nothing.
//! - The check is of `session_user`, the role that logged in. `current_user` is the owner inside the function, and
//!   `set role` does not change whom a session belongs to.
//! - Null, an empty text (which `set local` leaves behind) and text that is no id are no company.
//! - Nobody has rights on tables, and `execute` is revoked from public. A grant lets the role call the functions that are
//!   `security definer`, and no others; migrations that add some give them to the granted roles as well.
//! - The owner of the database has every company, and so has the owner of the schema, who could replace the functions.
//!
//! # Failure modes
//! A pooler that logs every client in as one role makes them one caller: their grants are that role's. A role that is
//! dropped keeps its rows, and a new role of the same name would have its grants: revoke before dropping.

mod sql;

use uuid::Uuid;

use crate::platform::{
    error::{Error, Result},
    unit::{Unit, UnitOfWork, Verb},
};

struct Grant {
    company_id: Uuid,
    role: String,
}

impl Verb for Grant {
    type Outcome = bool;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<bool> {
        if !sql::company_exists(unit.connection(), self.company_id).await? {
            return Err(Error::not_found("company"));
        }
        if !sql::role_exists(unit.connection(), &self.role).await? {
            return Err(Error::not_found("database role"));
        }
        let granted = sql::grant(unit.connection(), self.company_id, &self.role).await?;
        sql::grant_functions(unit.connection()).await?;
        unit.mark_changed();
        Ok(granted)
    }
}

/// Lets a database role call the SQL functions for a company. False if it could before.
///
/// # Errors
/// `NOT_FOUND` for the company or the role.
pub async fn grant(work: &UnitOfWork, company_id: Uuid, role: &str) -> Result<bool> {
    work.run(Grant { company_id, role: role.to_owned() }).await
}

struct Revoke {
    company_id: Uuid,
    role: String,
}

impl Verb for Revoke {
    type Outcome = bool;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<bool> {
        let revoked = sql::revoke(unit.connection(), self.company_id, &self.role).await?;
        unit.mark_changed();
        Ok(revoked)
    }
}

/// Takes a company from a database role; holds for the next call of a function. False if the role did not have it.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn revoke(work: &UnitOfWork, company_id: Uuid, role: &str) -> Result<bool> {
    work.run(Revoke { company_id, role: role.to_owned() }).await
}

/// Gives functions that a migration has added to the roles that were granted before.
///
/// # Errors
/// `UNAVAILABLE`.
pub(in crate::platform) async fn grant_functions(connection: &mut sqlx::PgConnection) -> Result<()> {
    sql::grant_functions(connection).await
}
