//! Wakes this process's scheduler when an SQL caller has set a timer that is due soon.
//!
//! The function `switchboard.set_timer` sends a NOTIFY with its commit, without data, if the timer is due before every
//! scheduler has looked again by itself. A unit of work needs none: it wakes the scheduler of its own process, and the
//! others poll. A wake-up that is lost costs time at most: the scheduler looks again after `SWITCHBOARD_TIMER_POLL`.

use std::{convert::Infallible, time::Duration};

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::TimerWaker;
use crate::platform::error::{Error, Result};

/// The channel of LISTEN and NOTIFY; `switchboard.set_timer` names it.
const CHANNEL: &str = "switchboard_timer";
/// After so long a silence the connection is asked whether it lives: on a half-open one nothing would ever arrive.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// Pause before a lost connection is replaced.
const RETRY: Duration = Duration::from_millis(500);

/// Listens until `stop`; replaces its connection whenever it fails.
pub async fn run(waker: TimerWaker, options: PgConnectOptions, stop: CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            Err(error) = listen(&waker, &options) => {
                // Debug, because the reader of the log warns of the same outage.
                tracing::debug!(error = error.chain(), "the timers' listener lost its connection");
            }
        }
        stop.run_until_cancelled(sleep(RETRY)).await;
    }
}

/// Listens on one connection until it fails.
async fn listen(waker: &TimerWaker, options: &PgConnectOptions) -> Result<Infallible> {
    let late = |_| Error::unavailable("the timers' listener is on a silent connection");
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(PROBE_EVERY).connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    timeout(PROBE_EVERY, listener.listen(CHANNEL)).await.map_err(late)??;
    // Timers may have been set before LISTEN took effect.
    waker.wake();
    loop {
        match timeout(PROBE_EVERY, listener.try_recv()).await {
            Ok(Ok(Some(_))) => waker.wake(),
            Ok(Ok(None)) => return Err(Error::unavailable("the timers' listener lost its connection")),
            Ok(Err(error)) => return Err(error.into()),
            Err(_quiet) => {
                timeout(PROBE_EVERY, sqlx::query("select 1").execute(&mut listener)).await.map_err(late)??;
            }
        }
    }
}
