//! The reader follows the log from its position and hands every event to the hub.
//!
//! ```text
//! LogNotifier: own commits, the listener ──┐
//! poll, every event_poll ──────────────────┴─► read_after(position) ── pieces ──► hub ──► position moves on
//! ```
//!
//! A read is one statement, so one snapshot, and it is taken from the connection in pieces: a transaction with hundreds
//! of thousands of events costs no more memory than the setting allows. The position moves at the end of the read.
//!
//! The position is in this process's memory, so a reader that lost its connection goes on where it was: no event is
//! skipped or read twice. It starts over, and every subscription sends its state again, in three cases: the log was
//! dropped past the position (retention), the database has another history (a restored backup), or there is a backlog
//! that subscriptions would not catch up with.
//!
//! At each connection it looks whether the log fits the cluster: a log restored from a dump of another cluster may hold
//! greater transaction numbers than new events will get. Such a log is dropped, and the audit trail with it.
//!
//! A read of which nothing arrives for too long counts as a lost connection, since nothing ever arrives on a half-open
//! socket.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Hub, LogNotifier, Position,
    listener::{RETRY_LEAST, RETRY_MOST},
    sql::{self, position_now},
};
use crate::platform::{
    config::EventSettings,
    error::{Error, Result},
};

/// A reader that comes back with more new events than this does not read them: subscriptions send their state again.
const BACKLOG_MOST: i64 = 100_000;
/// After an event that no wake-up announced, and after a wake-up from SQL, more may follow without one: for this long the
/// log is read at short intervals.
const WATCHFUL: Duration = Duration::from_secs(1);
const WATCHFUL_POLL: Duration = Duration::from_millis(20);

/// Reads the log into the hub until `stop`. `live` is true while the last read succeeded.
pub async fn run(
    hub: Hub,
    notifier: LogNotifier,
    options: PgConnectOptions,
    settings: EventSettings,
    live: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let most_bytes = settings.read_memory;
    let mut reader = Reader { hub, options, most_bytes, position: None, floor: 0, connection: None };
    let mut pause = RETRY_LEAST;
    let mut announced = true;
    let mut watchful_until = None;
    // Doubles after each failure: a half-open connection is found soon, and a slow database gets more time.
    let mut patience = settings.listener_probe;
    loop {
        let read = tokio::select! {
            () = stop.cancelled() => return,
            read = reader.tick(patience) => read,
        };
        match read {
            Ok(count) => {
                notifier.last_read().note();
                if !live.send_replace(true) {
                    tracing::info!("the event log is being read");
                }
                pause = RETRY_LEAST;
                patience = settings.listener_probe;
                let now = Instant::now();
                if count > 0 && !announced || notifier.take_from_sql() {
                    watchful_until = Some(now + WATCHFUL);
                }
                let is_watchful = watchful_until.is_some_and(|until| now < until);
                let poll = if is_watchful { settings.event_poll.min(WATCHFUL_POLL) } else { settings.event_poll };
                announced = tokio::select! {
                    () = stop.cancelled() => return,
                    () = notifier.notified() => true,
                    () = sleep(poll) => false,
                };
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

/// Waits for `work`, at most for `patience`.
async fn within<T>(patience: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(patience, work).await.unwrap_or_else(|late| Err(Error::unavailable(late)))
}

/// This process's position in the log, and the connection that it reads on.
struct Reader {
    hub: Hub,
    options: PgConnectOptions,
    /// Memory for the events of one read.
    most_bytes: usize,
    position: Option<Position>,
    /// Greatest transaction that retention had dropped at the last read.
    floor: u64,
    connection: Option<PgConnection>,
}

impl Reader {
    /// Reads the new events and hands them to the hub; returns how many there were. Fails when nothing arrives for as long
    /// as `patience`.
    async fn tick(&mut self, patience: Duration) -> Result<usize> {
        if self.connection.is_none() {
            self.connection = Some(within(patience, self.connect()).await?);
        }
        let (Some(connection), Some(before)) = (&mut self.connection, &self.position) else { return Ok(0) };
        let began = Instant::now();
        let mut read = within(patience, sql::read_after(connection, before)).await?;
        if read.floor > self.floor && !before.is_kept(read.floor) {
            drop(read);
            let (now, floor) = within(patience, position_now(connection)).await?;
            self.start_over(now, floor);
            return Ok(0);
        }
        let mut gathering = self.hub.gather(before, self.most_bytes);
        let mut count = 0;
        loop {
            let piece = within(patience, read.piece()).await?;
            if piece.is_empty() {
                break;
            }
            count += piece.len();
            gathering.add(piece);
        }
        // Also without events: pending transactions that ended without one, for example by a rollback, are no longer
        // pending.
        let after = read.after(before);
        gathering.finish(after.clone());
        self.floor = read.floor;
        drop(read);
        if count > 0 {
            metrics::histogram!("switchboard_event_read_seconds").record(began.elapsed());
            metrics::counter!("switchboard_events_read_total").increment(count as u64);
        }
        self.position = Some(after);
        Ok(count)
    }

    /// Opens a connection. Starts over if the database's log does not continue from the position.
    async fn connect(&mut self) -> Result<PgConnection> {
        // The planner's statistics never cover the newest rows, so it could choose a sequential scan. The index on xid
        // is always the right choice, and one generic plan serves every read.
        let options =
            self.options.clone().options([("enable_seqscan", "off"), ("plan_cache_mode", "force_generic_plan")]);
        let mut connection = options.connect().await?;
        if sql::drop_foreign_log(&mut connection).await? {
            tracing::warn!("the event log came from another cluster and was dropped; it begins anew");
        }
        let (now, floor) = position_now(&mut connection).await?;
        let goes_on = match &self.position {
            None => false,
            Some(position) => {
                position.incarnation == now.incarnation
                    && position.seen <= now.seen
                    && (floor == self.floor || position.is_kept(floor))
                    && sql::holds_mark(&mut connection, position.mark).await?
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
