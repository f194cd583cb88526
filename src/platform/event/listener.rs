//! The listener hears other processes' wake-ups; the reader reads the log and feeds the hub.
//!
//! ```text
//! listener: LISTEN ──► Bell::ring_here ─┐
//! own commits: Bell::ring ──────────────┼─► reader: read_after(position) ──► Hub::deliver
//! slow poll ────────────────────────────┘
//! ```
//!
//! Either may lose its connection at any time; the position is in this process's memory, so that nothing is
//! skipped when it is back. A half-open socket, on which nothing would ever arrive, is found by a probe.

use std::time::{Duration, Instant};

use sqlx::{
    ConnectOptions as _, PgConnection,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Bell, Hub, Position,
    hub::Read,
    notifier::CHANNEL,
    sql::{self, Found, position_now},
};
use crate::platform::{
    config::EventSettings,
    error::{Error, Result},
};

/// Pause before the first new try after a failure; doubled up to [`RETRY_MOST`] while it keeps failing.
const RETRY_LEAST: Duration = Duration::from_millis(50);
const RETRY_MOST: Duration = Duration::from_secs(2);
/// A reader that comes back further behind than this does not read it all into memory: subscriptions send their state
/// again.
const BACKLOG_MOST: i64 = 100_000;

/// Listens for wake-ups until `stop`, over as many connections as it takes.
pub async fn listen(bell: Bell, options: PgConnectOptions, settings: EventSettings, stop: CancellationToken) {
    let mut pause = RETRY_LEAST;
    loop {
        let began = Instant::now();
        let lost = tokio::select! {
            () = stop.cancelled() => return,
            Err(error) = hear(&bell, &options, settings.listener_probe) => error,
        };
        // The reader reports the outage; two lines for one incident would be one too many.
        tracing::debug!(error = lost.chain(), "listener lost its connection");
        metrics::counter!("switchboard_listener_reconnects_total").increment(1);
        bell.ring_here();
        pause = if began.elapsed() > RETRY_MOST { RETRY_LEAST } else { (pause * 2).min(RETRY_MOST) };
        if stop.run_until_cancelled(sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Hears wake-ups on one connection until it fails.
async fn hear(bell: &Bell, options: &PgConnectOptions, probe_every: Duration) -> Result<std::convert::Infallible> {
    let late = |_| Error::unavailable("the listener's connection is silent");
    // A pool of its own, so that a dead connection is never handed to the next listener.
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(probe_every).connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    timeout(probe_every, listener.listen(CHANNEL)).await.map_err(late)??;
    // What was written while nobody listened.
    bell.ring_here();
    loop {
        match timeout(probe_every, listener.try_recv()).await {
            Ok(Ok(Some(notification))) if bell.is_own(notification.payload()) => {}
            Ok(Ok(Some(_))) => bell.ring_here(),
            Ok(Ok(None)) => return Err(Error::unavailable("the listener's connection was closed")),
            Ok(Err(error)) => return Err(error.into()),
            Err(_quiet) => {
                timeout(probe_every, sqlx::query("select 1").execute(&mut listener)).await.map_err(late)??;
            }
        }
    }
}

/// Reads the log into the hub until `stop`. `live` says whether the last read worked.
pub async fn read(
    hub: Hub,
    bell: Bell,
    options: PgConnectOptions,
    settings: EventSettings,
    live: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let mut reader = Reader { hub, options, position: None, floor: 0, connection: None };
    let mut pause = RETRY_LEAST;
    // Grows while it is not enough: a half-open connection is found soon, and a slow database gets its time.
    let mut patience = settings.listener_probe;
    loop {
        let read = tokio::select! {
            () = stop.cancelled() => return,
            read = timeout(patience, reader.tick()) => read.unwrap_or_else(|late| Err(Error::unavailable(late))),
        };
        match read {
            Ok(_) => {
                if !live.send_replace(true) {
                    tracing::info!("the event log is being read");
                }
                pause = RETRY_LEAST;
                patience = settings.listener_probe;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = bell.rung() => {}
                    () = sleep(settings.event_poll) => {}
                }
            }
            Err(error) => {
                reader.connection = None;
                if live.send_replace(false) {
                    tracing::warn!(error = error.chain(), "the event log cannot be read; subscriptions will catch up");
                }
                if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                    return;
                }
                pause = (pause * 2).min(RETRY_MOST);
                patience = (patience * 2).min(settings.listener_probe * 8);
            }
        }
    }
}

/// Keeps this process's place in the log.
struct Reader {
    hub: Hub,
    options: PgConnectOptions,
    position: Option<Position>,
    /// How far the log had been dropped when it was last read.
    floor: u64,
    connection: Option<PgConnection>,
}

impl Reader {
    /// Reads what is new and hands it to the hub; answers how many events that were.
    async fn tick(&mut self) -> Result<usize> {
        if self.connection.is_none() {
            self.connection = Some(self.connect().await?);
        }
        let (Some(connection), Some(before)) = (&mut self.connection, &self.position) else { return Ok(0) };
        let began = Instant::now();
        let Found { events, after, floor } = sql::read_after(connection, before).await?;
        if floor > self.floor && !before.is_kept(floor) {
            self.start_over(after, floor);
            return Ok(0);
        }
        self.floor = floor;
        let count = events.len();
        if count > 0 {
            metrics::histogram!("switchboard_event_read_seconds").record(began.elapsed());
            metrics::counter!("switchboard_events_read_total").increment(count as u64);
            self.hub.deliver(events, Read { before: before.clone(), after: after.clone() });
        } else {
            // Pending transactions that ended without an event, by rollback perhaps, are no longer asked for.
            self.hub.set_position(after.clone());
        }
        self.position = Some(after);
        Ok(count)
    }

    /// Opens a connection and makes sure that the position still means something on it.
    async fn connect(&mut self) -> Result<PgConnection> {
        // New rows are newer than any statistics, so that the planner would guess: the index on xid is always right, and
        // so is a plan that is made once.
        let options = self.options.clone().options([
            ("enable_seqscan", "off"),
            ("jit", "off"),
            ("plan_cache_mode", "force_generic_plan"),
        ]);
        let mut connection = options.connect().await?;
        let (now, floor) = position_now(&mut connection).await?;
        let goes_on = match &self.position {
            None => false,
            Some(position) => {
                position.incarnation == now.incarnation
                    && position.seen <= now.seen
                    && (floor == self.floor || position.is_kept(floor))
                    && sql::is_near_end(&mut connection, position, BACKLOG_MOST).await?
            }
        };
        if !goes_on {
            self.start_over(now, floor);
        }
        Ok(connection)
    }

    /// Goes on from `now`; what lies between is given up, and everybody told so.
    fn start_over(&mut self, now: Position, floor: u64) {
        if self.position.is_some() {
            tracing::warn!("the event log has a gap or another history; subscriptions send their state again");
        }
        self.hub.set_position(now.clone());
        self.position = Some(now);
        self.floor = floor;
        self.hub.resync_all();
    }
}
