//! The reader follows the log from its position and hands every event to the hub.
//!
//! ```text
//! LogNotifier: own commits, the listener ──┐
//! poll, every event_poll ───────────┴─► read_after(position) ──► Hub::deliver ──► position moves on
//! ```
//!
//! The position is in this process's memory, so a reader that lost its connection goes on where it was: no event is
//! skipped or read twice. It starts over, and every subscription sends its state again, in three cases: the log was
//! dropped past the position (retention), the database has another history (a restored backup), or the backlog is too
//! large to read into memory.
//!
//! A read that takes too long counts as a lost connection, since nothing ever arrives on a half-open socket.

use std::time::Instant;

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Hub, LogNotifier, Position,
    hub::Read,
    listener::{RETRY_LEAST, RETRY_MOST},
    sql::{self, Found, position_now},
};
use crate::platform::{
    config::EventSettings,
    error::{Error, Result},
};

/// A reader that comes back with more new events than this does not read them: subscriptions send their state again.
const BACKLOG_MOST: i64 = 100_000;

/// Reads the log into the hub until `stop`. `live` is true while the last read succeeded.
pub async fn run(
    hub: Hub,
    notifier: LogNotifier,
    options: PgConnectOptions,
    settings: EventSettings,
    live: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let mut reader = Reader { hub, options, position: None, floor: 0, connection: None };
    let mut pause = RETRY_LEAST;
    // Doubles after each failure: a half-open connection is found soon, and a slow database gets more time.
    let mut patience = settings.listener_probe;
    loop {
        let read = tokio::select! {
            () = stop.cancelled() => return,
            read = timeout(patience, reader.tick()) => read.unwrap_or_else(|late| Err(Error::unavailable(late))),
        };
        match read {
            Ok(_) => {
                notifier.last_read().note();
                if !live.send_replace(true) {
                    tracing::info!("the event log is being read");
                }
                pause = RETRY_LEAST;
                patience = settings.listener_probe;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = notifier.notified() => {}
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

/// This process's position in the log, and the connection that it reads on.
struct Reader {
    hub: Hub,
    options: PgConnectOptions,
    position: Option<Position>,
    /// Greatest transaction that retention had dropped at the last read.
    floor: u64,
    connection: Option<PgConnection>,
}

impl Reader {
    /// Reads the new events and hands them to the hub; returns how many there were.
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
            // Pending transactions that ended without an event, for example by a rollback, are no longer pending.
            self.hub.set_position(after.clone());
        }
        self.position = Some(after);
        Ok(count)
    }

    /// Opens a connection. Starts over if the database's log does not continue from the position.
    async fn connect(&mut self) -> Result<PgConnection> {
        // The planner's statistics never cover the newest rows, so it could choose a sequential scan. The index on xid
        // is always the right choice, and one generic plan serves every read.
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

    /// Moves to `now` without reading what lies between; every subscription sends its state again.
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
