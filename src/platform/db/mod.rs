//! Postgres: the pools, migrations, and the embedded server.
//!
//! Every connection is set up the same way: schema `switchboard` first in the search path, bounds on statements,
//! locks and idle transactions, and TCP settings by which a server that lost its power frees its locks in seconds,
//! not hours. No task takes a second connection while it holds one.

pub mod embedded;

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use sqlx::{
    ConnectOptions as _, Connection as _, PgPool,
    migrate::MigrateError,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use tokio::sync::Semaphore;

use crate::platform::{
    batch::ReaderGate,
    config::DatabaseSettings,
    error::{Error, Result},
    event,
};

/// A connection that was idle for this long may have died meanwhile.
const RESTED: Duration = Duration::from_secs(1);

/// How sessions that run batches plan. A batch's statements look rows up by keys, for any number of rows, so one plan fits
/// every call: planning again would cost more than most of them take to run. The plan is made when the tables may still be
/// empty, and kept: it must look rows up by index, never scan what looked small then. What a statement was given is joined
/// by hash, so that a batch of many calls does not take the square of its size.
///
/// Settings alone are not enough: of two tables that both look empty the planner may read either first. So such statements
/// look rows up in lateral subqueries that cannot be merged (`offset 0`, or a row lock), and change rows by `ctid`. A test
/// reads their plans.
pub const BATCH_SESSION: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_bitmapscan", "off"),
    ("enable_seqscan", "off"),
    ("enable_mergejoin", "off"),
    ("enable_material", "off"),
];

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

/// The pools of a server. Together they open at most as many connections as the setting says.
#[derive(Debug, Clone)]
pub struct Pools {
    /// For requests, subscriptions and background tasks.
    pub requests: PgPool,
    /// For the workers that run batches, whose sessions plan differently; so batches never take all connections.
    pub batches: PgPool,
    /// As many places as batches may wait for locks at once: half of their connections.
    pub(super) waiting: Arc<Semaphore>,
    /// Each caller's share of the connections for requests.
    pub(super) readers: ReaderGate,
}

impl Pools {
    /// Pools that connect with `options`. Opens no connection yet.
    pub fn new(options: &PgConnectOptions, settings: &DatabaseSettings) -> Self {
        let batches = settings.database_connections / 2;
        let requests = settings.database_connections - batches;
        Self {
            requests: pool(options.clone(), settings, requests),
            batches: pool(options.clone().options(BATCH_SESSION), settings, batches),
            waiting: waiting(batches),
            readers: readers(settings.read_share, requests),
        }
    }

    /// Closes both, waiting for what runs.
    pub async fn close(&self) {
        futures_util::join!(self.requests.close(), self.batches.close());
    }
}

/// One pool for everything, as tests use it.
impl From<PgPool> for Pools {
    fn from(pool: PgPool) -> Self {
        let connections = pool.options().get_max_connections();
        let (waiting, readers) = (waiting(connections), readers(usize::MAX, connections));
        Self { requests: pool.clone(), batches: pool, waiting, readers }
    }
}

/// Whatever the setting says, one reader leaves half of the connections to the others.
fn readers(share: usize, connections: u32) -> ReaderGate {
    ReaderGate::new(share.min(connections as usize / 2))
}

fn waiting(connections: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new((connections as usize / 2).max(1)))
}

/// A pool of at most `connections`. Opens no connection yet.
pub fn pool(options: PgConnectOptions, settings: &DatabaseSettings, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(settings.database_acquire_timeout)
        // A ping at each acquire would cost a fifth of the throughput, so only a connection that has rested is asked
        // whether it lives: after an outage that is every one of them. A request whose connection dies in use gets
        // UNAVAILABLE.
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

/// Applies the migrations that are missing, and attaches the event log's next days, which whoever migrates is about to
/// write into. Safe with any number of servers starting at once: they take turns.
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
    if migrated.is_ok() {
        event::retention::attach_days(&mut connection).await?;
    }
    connection.close().await?;
    migrated
}
