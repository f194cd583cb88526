//! The pools of a server, and the guard on every use of one of their connections.
//!
//! # The guard
//! A link to the database may freeze: nothing arrives any more, and nothing says so. The database notices by its TCP
//! settings and ends the session. This side has no such settings (sqlx exposes no socket options), and sqlx waits
//! without a limit, also for the ping with which it returns a connection to its pool. So every wait has a limit of ours:
//!
//! | wait | limit | after it |
//! | --- | --- | --- |
//! | ping of a connection that has rested, before it is used | `PING_TIME` | closed, and a new one is opened |
//! | one use: a batch, a transaction, a look of the scheduler | [`deadline`] | closed ([`close_hard`]), `UNAVAILABLE` |
//! | read of a stream: its state, the log | `SWITCHBOARD_STREAM_READ_TIMEOUT` | closed; an open stream tries again |
//! | what a connection that is returned still does | `PING_TIME` | closed |
//! | request that reads by itself | `SWITCHBOARD_EXECUTION_TIMEOUT` | returned, which closes it as above |
//!
//! Closing is hard: no farewell is sent, because it could hang as well. The database notices within a second that the
//! client of a running statement is gone (`client_connection_check_interval`), rolls back and frees the locks.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use sqlx::{
    Connection as _, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Semaphore;

use super::plans;
use crate::platform::{
    batch::ReaderGate,
    config::DatabaseSettings,
    error::{Error, Result},
};

/// A connection that was idle for this long may have died meanwhile.
const RESTED: Duration = Duration::from_secs(1);
/// Longest wait for the answer to a ping. A link that is slower is of no use to a request.
const PING_TIME: Duration = Duration::from_secs(1);
/// How much longer than a statement a use of a connection may take: the database's own limit comes first, so that an
/// ordinary slow statement ends with an error and not with its connection.
const GRACE: Duration = Duration::from_secs(1);
/// Limit of a use on a pool whose sessions have no `statement_timeout`.
const DEFAULT_STATEMENT_TIME: Duration = Duration::from_secs(15);
/// Limit of a read of one row by its key that a whole request waits for, such as an API key's.
pub const LOOKUP_TIME: Duration = Duration::from_secs(5);

/// Connections of the scheduler, beside those of the setting: due timers never wait behind requests.
pub const TIMER_CONNECTIONS: u32 = 4;
/// Longest statement of the scheduler, whose statements wait for no lock that another transaction may hold for long.
const TIMER_STATEMENT_TIME: Duration = Duration::from_secs(5);
/// Longest wait of the scheduler for a lock. It only tries the locks of subjects; this bounds what cannot be tried, such
/// as an insert of a key that another transaction is inserting.
const TIMER_LOCK_TIME: Duration = Duration::from_secs(1);

/// Calls that may wait in one partition where no setting says otherwise.
const DEFAULT_BATCH_QUEUE: usize = 4_000;

/// The pools of a server. Those of requests and batches together open at most as many connections as the setting says.
#[derive(Debug, Clone)]
pub struct Pools {
    /// For requests, subscriptions and background tasks.
    pub requests: PgPool,
    /// For the workers that run batches, whose sessions plan differently; so batches never take all connections.
    pub batches: PgPool,
    /// For the scheduler of timers.
    pub timers: PgPool,
    /// As many places as batches may wait for locks at once: half of their connections.
    pub(in crate::platform) waiting: Arc<Semaphore>,
    /// As many places as transactions outside batches may take at once: half of the requests' connections. Subscriptions
    /// take a quarter at most, so that reads always have the last one.
    pub(in crate::platform) transactions: Arc<Semaphore>,
    /// Each caller's share of the connections for requests.
    pub(in crate::platform) readers: ReaderGate,
    /// Calls that may wait in one partition of a batch; see `SWITCHBOARD_BATCH_QUEUE`.
    pub(in crate::platform) batch_queue: usize,
}

impl Pools {
    /// Pools that connect with `options`. Opens no connection yet.
    pub fn new(options: &PgConnectOptions, settings: &DatabaseSettings) -> Self {
        let batches = settings.database_connections / 2;
        let requests = settings.database_connections - batches;
        let batch_options = plans::of_batches(options, settings.generic_plans);
        let ms = |limit: Duration, setting: Duration| limit.min(setting).as_millis().to_string();
        let timer_options = batch_options.clone().options([
            ("statement_timeout", ms(TIMER_STATEMENT_TIME, settings.statement_timeout)),
            ("lock_timeout", ms(TIMER_LOCK_TIME, settings.lock_timeout)),
        ]);
        Self {
            requests: pool(plans::of_requests(options, settings.generic_plans), settings, requests),
            batches: pool(batch_options, settings, batches),
            timers: pool(timer_options, settings, TIMER_CONNECTIONS),
            waiting: half_of(batches),
            transactions: half_of(requests),
            readers: readers(settings.read_share, requests),
            batch_queue: settings.batch_queue,
        }
    }

    /// Closes all of them, waiting for what runs.
    pub async fn close(&self) {
        futures_util::join!(self.requests.close(), self.batches.close(), self.timers.close());
    }
}

/// One pool for everything, as tests use it.
impl From<PgPool> for Pools {
    fn from(pool: PgPool) -> Self {
        let connections = pool.options().get_max_connections();
        Self {
            requests: pool.clone(),
            batches: pool.clone(),
            timers: pool,
            waiting: half_of(connections),
            transactions: half_of(connections),
            readers: readers(usize::MAX, connections),
            batch_queue: DEFAULT_BATCH_QUEUE,
        }
    }
}

/// Whatever the setting says, one reader leaves half of the connections to the others.
fn readers(share: usize, connections: u32) -> ReaderGate {
    ReaderGate::new(share.min(connections as usize / 2))
}

fn half_of(connections: u32) -> Arc<Semaphore> {
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
                    in_ping_time(connection.ping()).await?;
                }
                Ok(true)
            }
            .boxed()
        })
        // sqlx pings after this, without a limit. Of a link that has just answered it need not fear much, and only a use that
        // was dropped halfway leaves anything to wait for.
        .after_release(|connection, _| -> BoxFuture<'_, sqlx::Result<bool>> {
            async move {
                in_ping_time(connection.flush()).await?;
                Ok(true)
            }
            .boxed()
        })
        .connect_lazy_with(options)
}

/// Waits for the answer of a connection, but not for long.
async fn in_ping_time(answer: impl Future<Output = sqlx::Result<()>>) -> sqlx::Result<()> {
    let late = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(PING_TIME, answer).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}

/// Longest use of a connection of `pool`: a little more than its sessions allow a statement, as its options say.
pub fn deadline(pool: &PgPool) -> Duration {
    let options = pool.connect_options();
    let timeout = options.get_options().and_then(|options| {
        // The last one counts. Our own options give it in milliseconds.
        let (_, value) = options.rsplit_once("statement_timeout=")?;
        value.split_whitespace().next()?.parse().ok()
    });
    timeout.map_or(DEFAULT_STATEMENT_TIME, Duration::from_millis) + GRACE
}

/// Runs `use_of_connection` for at most `limit`.
///
/// # Errors
/// `UNAVAILABLE` after the limit. The connection is then to be closed, or returned to its pool, which closes it.
pub async fn within<T>(limit: Duration, use_of_connection: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| {
        metrics::counter!("switchboard_database_late_total").increment(1);
        Error::unavailable(format!("the database did not answer within {limit:?}"))
    };
    tokio::time::timeout(limit, use_of_connection).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}

/// Closes a connection on which something may still be under way, without a word to the database: its link may be
/// frozen. The pool may open another one at once.
pub fn close_hard(connection: PoolConnection<Postgres>) {
    metrics::counter!("switchboard_database_closed_hard_total").increment(1);
    // Dropped outside its pool, the socket is closed.
    drop(connection.detach());
}
