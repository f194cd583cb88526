//! Postgres: the pool, transactions that are repeated when they collide, migrations, and the embedded server.
//!
//! Every connection is set up the same way: schema `switchboard` first in the search path, bounds on statements,
//! locks and idle transactions, and TCP settings by which a server that lost its power frees its locks in seconds,
//! not hours. Nobody takes a second connection while holding one.

pub mod embedded;

use std::{future::Future, time::Duration};

use futures_util::FutureExt as _;
use sqlx::{
    ConnectOptions as _, Connection as _, PgPool,
    migrate::MigrateError,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::platform::{
    config::DatabaseSettings,
    error::{Error, Result},
};

/// How often a transaction that collided with another is tried in all.
const ATTEMPTS: u32 = 8;

/// A connection that nobody used for so long may have died meanwhile.
const RESTED: Duration = Duration::from_secs(1);

/// Options that every connection of this server has, on top of where the database is.
pub fn connection_options(base: PgConnectOptions, settings: &DatabaseSettings) -> PgConnectOptions {
    let ms = |duration: Duration| duration.as_millis().to_string();
    base.application_name("switchboard").options([
        ("search_path", "switchboard,pg_temp".to_owned()),
        ("TimeZone", "UTC".to_owned()),
        ("statement_timeout", ms(settings.statement_timeout)),
        ("lock_timeout", ms(settings.lock_timeout)),
        ("idle_in_transaction_session_timeout", "10000".to_owned()),
        // Readers of the log rely on it: a visible event is a flushed event.
        ("synchronous_commit", "on".to_owned()),
        // The database's side of the connection: notice within 10 s that this server is gone.
        ("tcp_keepalives_idle", "5".to_owned()),
        ("tcp_keepalives_interval", "2".to_owned()),
        ("tcp_keepalives_count", "2".to_owned()),
        ("tcp_user_timeout", "10000".to_owned()),
    ])
}

/// The pool that requests use. Opens no connection yet.
pub fn pool(options: PgConnectOptions, settings: &DatabaseSettings) -> PgPool {
    PgPoolOptions::new()
        .max_connections(settings.database_connections)
        .acquire_timeout(settings.database_acquire_timeout)
        // A ping at each acquire would cost a fifth of the throughput, so only one that has rested is asked whether it
        // lives: after an outage that is every one of them. One that dies in use is answered UNAVAILABLE.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            async move {
                if meta.idle_for >= RESTED {
                    connection.ping().await?;
                }
                Ok(true)
            }
            .boxed()
        })
        .connect_lazy_with(options)
}

/// Applies the migrations that are missing. Safe with any number of servers starting at once: they take turns.
pub async fn migrate(base: &PgConnectOptions) -> Result<()> {
    // Waiting for one's turn, and a migration of large tables, may take longer than any request may.
    let options = base.clone().application_name("switchboard migrate").options([("TimeZone", "UTC")]);
    let mut connection = options.connect().await?;
    let mut migrator = sqlx::migrate!();
    migrator.create_schema("switchboard");
    migrator.dangerous_set_table_name("switchboard.migration");
    let migrated = migrator.run(&mut connection).await.map_err(|error| match error {
        MigrateError::Execute(error) => error.into(),
        error => Error::internal(error),
    });
    connection.close().await?;
    migrated
}

/// Runs `transaction` (which begins and commits its own) again while it fails only because it collided with
/// another: serialization failures and deadlocks, SQLSTATE 40001 and 40P01.
///
/// # Errors
/// The last try's.
pub async fn retrying<T, F, Fut>(transaction: F) -> Result<T>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let mut attempt = 1;
    loop {
        match transaction().await {
            Err(error) if error.is_transient_conflict() && attempt < ATTEMPTS => {
                metrics::counter!("switchboard_transaction_retries_total").increment(1);
                tokio::time::sleep(Duration::from_millis(1 << attempt)).await;
                attempt += 1;
            }
            result => return result,
        }
    }
}
