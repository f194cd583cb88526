//! Postgres: the pools, migrations, and the embedded server.
//!
//! Every connection is set up the same way: schema `switchboard` first in the search path, bounds on statements,
//! locks and idle transactions, and TCP settings by which a server that lost its power frees its locks in seconds,
//! not hours. No task takes a second connection while it holds one. Every use of a connection has a deadline, see
//! [`pool`](mod@pool).

pub mod embedded;
mod plans;
pub mod pool;

use std::{path::Path, time::Duration};

use sqlx::{ConnectOptions as _, Connection as _, migrate::MigrateError, postgres::PgConnectOptions};

pub use plans::{BATCH_SESSION, REQUEST_SESSION, fetch_by_values};
pub use pool::{Pools, pool};

use crate::platform::{
    config::DatabaseSettings,
    error::{Code, Error, Result},
    event, sql_role,
};

/// Options that every connection of this server has, on top of where the database is.
pub fn connection_options(base: PgConnectOptions, settings: &DatabaseSettings) -> PgConnectOptions {
    let ms = |duration: Duration| duration.as_millis().to_string();
    base.application_name("switchboard").options([
        ("search_path", "switchboard,pg_temp".to_owned()),
        ("TimeZone", "UTC".to_owned()),
        ("statement_timeout", ms(settings.statement_timeout)),
        ("lock_timeout", ms(settings.lock_timeout)),
        ("idle_in_transaction_session_timeout", "10000".to_owned()),
        // Locks are taken in statements of their own, and the statements after them must see what was committed meanwhile.
        ("default_transaction_isolation", "read committed".to_owned()),
        // Readers of the log rely on it: a visible event is a flushed event.
        ("synchronous_commit", "on".to_owned()),
        // Short statements only: compiling them, or spreading them over processes, costs more than it saves. Where
        // sequential scans are off, a statement that reads a table of one row looks expensive enough to be compiled, in a
        // second each time, while it holds its locks.
        ("jit", "off".to_owned()),
        ("max_parallel_workers_per_gather", "0".to_owned()),
        // The database's side of the connection: notice within 10 s that this server is gone.
        ("tcp_keepalives_idle", "5".to_owned()),
        ("tcp_keepalives_interval", "2".to_owned()),
        ("tcp_keepalives_count", "2".to_owned()),
        ("tcp_user_timeout", "10000".to_owned()),
        // A statement whose client has closed the connection ends, also while it waits for a lock.
        ("client_connection_check_interval", "1000".to_owned()),
    ])
}

/// Applies the migrations that are missing, and attaches the event log's next days, which whoever migrates is about to
/// write into. Safe with any number of servers starting at once: they take turns. `data_dir` is the embedded Postgres's
/// data directory, if that is where the database is.
///
/// # Errors
/// UNAVAILABLE with a message that says what to do when the database has migrations that this build does not have.
pub async fn migrate(base: &PgConnectOptions, data_dir: Option<&Path>) -> Result<()> {
    // Waiting for one's turn, and a migration of large tables, may take longer than any request may.
    let options = base.clone().application_name("switchboard migrate").options([("TimeZone", "UTC")]);
    let mut connection = options.connect().await?;
    let mut migrator = sqlx::migrate!();
    migrator.create_schema("switchboard");
    migrator.dangerous_set_table_name("switchboard.migration");
    let migrated = migrator.run(&mut connection).await.map_err(|error| match error {
        MigrateError::Execute(error) => error.into(),
        MigrateError::VersionMissing(migration) | MigrateError::VersionMismatch(migration) => {
            made_by_another_build(migration, base, data_dir)
        }
        error => Error::internal(error),
    });
    let granted = match migrated {
        Ok(()) => match event::retention::attach_days(&mut connection).await {
            Ok(_) => sql_role::grant_functions(&mut connection).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    connection.close().await?;
    granted
}

/// The refusal of a database that has a migration which this build does not have, or has with another content.
fn made_by_another_build(migration: i64, base: &PgConnectOptions, data_dir: Option<&Path>) -> Error {
    let made =
        format!("was made by another build of switchboard, whose migration {migration} is not one of this build");
    let message = match data_dir {
        Some(directory) => format!(
            "{}: the database in this directory {made}. Keep using the build that made it, or a newer one; or delete the \
             directory, with all that is in it, to begin with an empty database",
            directory.display()
        ),
        None => format!(
            "DATABASE_URL: the database {} {made}. Keep using the build that made it, or a newer one; or name an empty \
             database",
            base.get_database().unwrap_or_else(|| base.get_username())
        ),
    };
    Error::new(Code::Unavailable, message)
}
