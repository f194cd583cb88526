//! Wakes the readers of the log after a commit.
//!
//! ```text
//! commit ──► LogNotifier::notify ─┬─► this process's reader, at once
//!                                 └─► notifier task ── NOTIFY, at most one in notify_every ──► other processes
//! append_event, called in SQL ── NOTIFY "sql", one of those that append at once ──► all processes
//! ```
//!
//! A commit with a NOTIFY takes a lock of the whole cluster across its flush, so no request pays for one: the task
//! sends them on a connection of its own, one for all commits since the last. A lost wake-up (crash, database away)
//! delays events until the next poll of each reader, and loses none.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::sql;
use crate::platform::{
    clock::new_id,
    error::{Error, Result},
};

/// The channel of LISTEN and NOTIFY.
pub(super) const CHANNEL: &str = "switchboard_event";

/// The payload of the wake-ups that the SQL function `append_event` sends.
pub(super) const FROM_SQL: &str = "sql";

#[derive(Debug)]
struct Shared {
    local: Notify,
    remote: Notify,
    /// A wake-up came from SQL since this was read last.
    from_sql: AtomicBool,
    /// The payload of this process's wake-ups, by which its own listener ignores them.
    sender: String,
}

/// Wakes readers of the log. Clones wake the same readers.
#[derive(Debug, Clone)]
pub struct LogNotifier(Arc<Shared>);

impl Default for LogNotifier {
    fn default() -> Self {
        Self(Arc::new(Shared {
            local: Notify::new(),
            remote: Notify::new(),
            from_sql: AtomicBool::new(false),
            sender: new_id().to_string(),
        }))
    }
}

impl LogNotifier {
    /// Wakes every process's reader. To be called after the commit of a transaction that appended events.
    pub fn notify(&self) {
        self.0.local.notify_one();
        self.0.remote.notify_one();
    }

    /// Wakes only this process's reader.
    pub(super) fn notify_local(&self) {
        self.0.local.notify_one();
    }

    /// Wakes only this process's reader, for an event that was appended in SQL.
    pub(super) fn notify_from_sql(&self) {
        self.0.from_sql.store(true, Ordering::Relaxed);
        self.notify_local();
    }

    /// True if a wake-up came from SQL since the last call. Of several transactions that append at once only one sends
    /// a wake-up, so events of others may follow without one.
    pub(super) fn take_from_sql(&self) -> bool {
        self.0.from_sql.swap(false, Ordering::Relaxed)
    }

    /// Waits for a wake-up since the last return. For the one reader.
    pub(super) async fn notified(&self) {
        self.0.local.notified().await;
    }

    /// True if this process sent the wake-up with this payload.
    pub(super) fn is_own(&self, payload: &str) -> bool {
        payload == self.0.sender
    }
}

/// Sends the wake-ups to other processes until `stop`.
pub async fn run(notifier: LogNotifier, options: PgConnectOptions, notify_every: Duration, stop: CancellationToken) {
    let _ = stop.run_until_cancelled(send(notifier, options, notify_every)).await;
}

async fn send(notifier: LogNotifier, options: PgConnectOptions, notify_every: Duration) -> std::convert::Infallible {
    const RETRY: Duration = Duration::from_millis(100);
    let mut connection = None;
    loop {
        notifier.0.remote.notified().await;
        if let Err(error) = notify(&mut connection, &options, &notifier.0.sender).await {
            connection = None;
            // Debug, because the reader warns of the same outage, and its poll replaces the wake-up.
            tracing::debug!(error = error.chain(), "could not send a wake-up");
            tokio::time::sleep(RETRY).await;
        }
        tokio::time::sleep(notify_every).await;
    }
}

async fn notify(connection: &mut Option<PgConnection>, options: &PgConnectOptions, sender: &str) -> Result<()> {
    const DEADLINE: Duration = Duration::from_secs(5);
    let send = async {
        let connection = match connection {
            Some(connection) => connection,
            none => none.insert(options.connect().await?),
        };
        sql::notify(connection, CHANNEL, sender).await
    };
    tokio::time::timeout(DEADLINE, send).await.unwrap_or_else(|late| Err(Error::unavailable(late)))
}
