//! The listener receives the wake-ups of other processes and wakes this process's reader.
//!
//! ```text
//! other processes' notifiers, SQL callers ── NOTIFY ──► listener ──► LogNotifier::notify_local ──► reader
//! ```
//!
//! A wake-up carries no data, so a lost one costs time and not events: the reader polls, and a new connection begins
//! with a wake-up of its own. A half-open socket, on which nothing would ever arrive, is found by a probe: a statement
//! on the same connection after each `listener_probe` of silence.

use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    LogNotifier,
    notifier::{CHANNEL, FROM_SQL},
};
use crate::platform::{
    config::EventSettings,
    error::{Error, Result},
};

/// Pause before the first retry after a failure; doubled up to [`RETRY_MOST`] while retries fail.
pub(super) const RETRY_LEAST: Duration = Duration::from_millis(50);
pub(super) const RETRY_MOST: Duration = Duration::from_secs(2);
/// Listens for wake-ups until `stop`; replaces its connection whenever it fails.
pub async fn run(notifier: LogNotifier, options: PgConnectOptions, settings: EventSettings, stop: CancellationToken) {
    let mut pause = RETRY_LEAST;
    loop {
        let began = Instant::now();
        let lost = tokio::select! {
            () = stop.cancelled() => return,
            Err(error) = listen(&notifier, &options, settings.listener_probe) => error,
        };
        // Debug, because the reader warns of the same outage.
        tracing::debug!(error = lost.chain(), "listener lost its connection");
        metrics::counter!("switchboard_listener_reconnects_total").increment(1);
        notifier.notify_local();
        pause = if began.elapsed() > RETRY_MOST { RETRY_LEAST } else { (pause * 2).min(RETRY_MOST) };
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Listens on one connection until it fails.
async fn listen(
    notifier: &LogNotifier,
    options: &PgConnectOptions,
    probe_every: Duration,
) -> Result<std::convert::Infallible> {
    let late = |_| Error::unavailable("the listener's connection is silent");
    // A pool of its own: a dead connection must not be reused by the next attempt.
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(probe_every).connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    timeout(probe_every, listener.listen(CHANNEL)).await.map_err(late)??;
    // Events may have been committed before LISTEN took effect.
    notifier.notify_local();
    loop {
        match timeout(probe_every, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => match notification.payload() {
                own if notifier.is_own(own) => {}
                FROM_SQL => notifier.notify_from_sql(),
                _ => notifier.notify_local(),
            },
            Ok(Ok(None)) => return Err(Error::unavailable("the listener's connection was closed")),
            Ok(Err(error)) => return Err(error.into()),
            Err(_quiet) => {
                timeout(probe_every, sqlx::query("select 1").execute(&mut listener)).await.map_err(late)??;
            }
        }
    }
}
