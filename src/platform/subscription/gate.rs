//! The gate before reads of state and log: only some streams read at once, the others wait in line, first come first
//! served.
//!
//! After a deploy every client opens its streams again at the same moment. Without a gate they would take every
//! connection and keep them from requests, and those that found none would fail. A waiting stream holds no connection.
//! One that its client drops leaves the line.
//!
//! A read has a deadline. After it the connection is closed and not returned to the pool, because its server may never
//! answer.

use std::{sync::Arc, time::Duration};

use sqlx::{PgPool, Postgres, pool::PoolConnection};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::platform::{
    config::EventSettings,
    db::pool::close_hard,
    error::{Error, Result},
};

/// Places for streams that read. Clones share them.
#[derive(Debug, Clone)]
pub struct ReadGate {
    places: Arc<Semaphore>,
    deadline: Duration,
}

impl ReadGate {
    /// A gate as the settings say, but for at most a quarter of the connections of `pool`. Transactions may hold half of
    /// them, and requests that only read need the rest.
    pub fn new(settings: &EventSettings, pool: &PgPool) -> Self {
        let most = usize::try_from(pool.options().get_max_connections() / 4).unwrap_or(usize::MAX);
        let places = Arc::new(Semaphore::new(settings.stream_reads.min(most).max(1)));
        Self { places, deadline: settings.stream_read_timeout }
    }

    /// Waits for a place, then for a connection.
    ///
    /// # Errors
    /// `UNAVAILABLE` when no connection became free in time.
    pub(super) async fn enter(&self, pool: &PgPool) -> Result<Reading> {
        let waiting = Waiting::begin();
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(Error::internal)?;
        drop(waiting);
        let connection = pool.acquire().await?;
        Ok(Reading { connection, deadline: self.deadline, began: Instant::now(), _place: place })
    }
}

/// Counts a stream that waits in line, also one whose client leaves.
struct Waiting;

impl Waiting {
    fn begin() -> Self {
        metrics::gauge!("switchboard_stream_reads_waiting").increment(1.0);
        Self
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        metrics::gauge!("switchboard_stream_reads_waiting").decrement(1.0);
    }
}

/// A place in the gate with a connection.
pub(super) struct Reading {
    pub(super) connection: PoolConnection<Postgres>,
    pub(super) deadline: Duration,
    began: Instant,
    _place: OwnedSemaphorePermit,
}

impl Reading {
    /// Ends the read and gives its outcome; `Err` is a read that was given up at the deadline.
    pub(super) fn finish<T, E>(self, outcome: Result<Result<T>, E>) -> Result<T>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        metrics::histogram!("switchboard_stream_read_seconds").record(self.began.elapsed());
        match outcome {
            Ok(outcome) => outcome,
            Err(late) => {
                tracing::warn!("a stream's read of the database took too long; its connection is closed");
                // What is under way on the connection is unknown, so nothing more may be sent on it.
                close_hard(self.connection);
                Err(Error::unavailable(late))
            }
        }
    }
}
