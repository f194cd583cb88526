//! The bell: tells readers that the log has grown.
//!
//! [`Bell::ring`] wakes this process's reader at once and asks the notifier to wake the others by NOTIFY. The
//! notifier rings at most once in `notify_every`, whatever the load, on a connection of its own: a commit with a
//! NOTIFY takes a lock of the whole cluster across its flush, so no request may pay for it. A wake-up that is
//! lost (crash, database away) is covered by every reader's poll.

use std::{sync::Arc, time::Duration};

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::sql;
use crate::platform::error::Result;

/// The channel of the wake-ups.
pub(super) const CHANNEL: &str = "switchboard_event";

#[derive(Debug)]
struct Shared {
    local: Notify,
    remote: Notify,
    /// Names this process in its wake-ups, so that it does not answer its own.
    sender: String,
}

/// Rung after every commit that appended events. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bell(Arc<Shared>);

impl Default for Bell {
    fn default() -> Self {
        Self(Arc::new(Shared { local: Notify::new(), remote: Notify::new(), sender: Uuid::now_v7().to_string() }))
    }
}

impl Bell {
    /// The log has grown, and the growth is committed.
    pub fn ring(&self) {
        self.0.local.notify_one();
        self.0.remote.notify_one();
    }

    /// Wakes only this process's reader.
    pub(super) fn ring_here(&self) {
        self.0.local.notify_one();
    }

    /// Returns when the log may have grown since the last return.
    pub(super) async fn rung(&self) {
        self.0.local.notified().await;
    }

    /// True if this process sent the wake-up with this payload.
    pub(super) fn is_own(&self, payload: &str) -> bool {
        payload == self.0.sender
    }
}

/// Sends the wake-ups to other processes until `stop`.
pub async fn run(bell: Bell, options: PgConnectOptions, notify_every: Duration, stop: CancellationToken) {
    let _ = stop.run_until_cancelled(send(bell, options, notify_every)).await;
}

async fn send(bell: Bell, options: PgConnectOptions, notify_every: Duration) -> std::convert::Infallible {
    let mut connection = None;
    loop {
        bell.0.remote.notified().await;
        if let Err(error) = notify(&mut connection, &options, &bell.0.sender).await {
            connection = None;
            // Not an incident of its own: the poll covers it, and whoever reads the log reports the outage.
            tracing::debug!(error = error.chain(), "wake-up not sent");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(notify_every).await;
    }
}

async fn notify(connection: &mut Option<PgConnection>, options: &PgConnectOptions, sender: &str) -> Result<()> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let send = async {
        let connection = match connection {
            Some(connection) => connection,
            none => none.insert(options.connect().await?),
        };
        sql::notify(connection, CHANNEL, sender).await
    };
    tokio::time::timeout(PATIENCE, send)
        .await
        .unwrap_or_else(|late| Err(crate::platform::error::Error::unavailable(late)))
}
