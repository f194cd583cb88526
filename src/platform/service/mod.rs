//! Service: whether servers live, and since when without a break.
//!
//! ```text
//! each server, every second: stamp its row of service_alive
//!                            └ all stamps over 5 s old? ── yes ──► service.resumed_at = now
//!                                                                  and timers that wait for people are put off
//! ```
//!
//! While no server lives nobody is called and nobody can respond, so silence proves nothing: a phone that did not ring
//! was not ignored. So whoever judges silence counts from the greater of the last news and `switchboard.resumed_at()`.
//! Timers of the purposes that concepts name for it ([`Concept::timers_for_people`](super::concept::Concept)), if they
//! came due before service resumed, fire only some time afterwards (`SWITCHBOARD_RESUME_GRACE`). They are put off in the
//! statement that sets `resumed_at`.
//!
//! A server fires no timers before its first stamp, nor while its own last stamp is over 5 s old ([`InService`]): then the
//! database was away, which is an outage too, and its next stamp has to look for it first. So no timer slips through
//! between the end of an outage and its discovery, on whichever server.
//!
//! A server that has stamped within the last 5 s by its own clock takes an old stamp for what it is: the database's clock
//! was put forward. That is no outage.
//!
//! **Failures.** While a server cannot stamp, it is dead to the others after 5 s, and fires no timers itself. Stamps of
//! servers that are gone stay for a day.

mod sql;

use std::{convert::Infallible, time::Duration};

use sqlx::{ConnectOptions as _, PgConnection, postgres::PgConnectOptions};
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::platform::error::{Error, Result};

/// Pause between two stamps.
const EVERY: Duration = Duration::from_secs(1);
/// A stamp of this age is a dead server's.
pub const DEAD_AFTER: Duration = Duration::from_secs(5);
/// Deadline of one stamp: on a half-open connection nothing ever arrives.
const DEADLINE: Duration = Duration::from_secs(2);
/// Pause after a stamp that failed.
const RETRY: Duration = Duration::from_millis(100);

/// The last outage: for some time no server lived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// Its end, in database time.
    pub resumed_at: OffsetDateTime,
    /// Until then, what came due during the outage is not held against people.
    pub grace_until: OffsetDateTime,
}

impl Outage {
    /// True if people whose time ended at `at` still have time at `now`, because service resumed only shortly before.
    pub fn excuses(&self, at: OffsetDateTime, now: OffsetDateTime) -> bool {
        at <= self.resumed_at && now < self.grace_until
    }
}

/// Whether this server is in service: it has stamped its row within the last 5 s. Clones tell the same.
#[derive(Debug, Clone)]
pub struct InService(watch::Receiver<Option<Instant>>);

impl InService {
    /// The age of the last stamp; `None` before the first.
    pub fn age(&self) -> Option<Duration> {
        self.0.borrow().map(|at| at.elapsed())
    }

    /// Waits until the last stamp is fresh.
    pub async fn wait(&mut self) {
        // An error: the task that stamps has ended, so the server is stopping.
        let _ = self.0.wait_for(|stamped| stamped.is_some_and(|at| at.elapsed() < DEAD_AFTER)).await;
    }
}

/// Stamps the row of one server.
#[derive(Debug)]
pub struct Service {
    options: PgConnectOptions,
    server_id: Uuid,
    grace: Duration,
    timers_for_people: Vec<(&'static str, &'static str)>,
    stamped: watch::Sender<Option<Instant>>,
}

impl Service {
    /// A server that stamps as `server_id`. Where it finds the end of an outage, it puts off the timers of these subject
    /// types and purposes that came due before, until `grace` has passed.
    pub fn new(
        options: PgConnectOptions,
        server_id: Uuid,
        grace: Duration,
        timers_for_people: Vec<(&'static str, &'static str)>,
    ) -> Self {
        // The session's own deadline, a little shorter than ours.
        let options = options.options([("statement_timeout", "1500"), ("lock_timeout", "1000")]);
        Self { options, server_id, grace, timers_for_people, stamped: watch::Sender::new(None) }
    }

    /// Tells whether this server is in service.
    pub fn in_service(&self) -> InService {
        InService(self.stamped.subscribe())
    }

    /// Stamps every second until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let _ = stop.run_until_cancelled(self.stamp_on()).await;
    }

    async fn stamp_on(self) -> Infallible {
        let mut connection = None;
        let mut is_away = false;
        loop {
            let began = Instant::now();
            match self.stamp_within(&mut connection).await {
                Ok(resumed) => {
                    if resumed {
                        tracing::warn!("no server lived until now; timers that wait for people are put off");
                        metrics::counter!("switchboard_service_resumed_total").increment(1);
                    }
                    is_away = false;
                    // The time before the statement: the stamp is at least as young.
                    self.stamped.send_replace(Some(began));
                    sleep(EVERY).await;
                }
                Err(error) => {
                    connection = None;
                    if !std::mem::replace(&mut is_away, true) {
                        tracing::warn!(error = error.chain(), "this server cannot stamp its row; will try again");
                    }
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn stamp_within(&self, connection: &mut Option<PgConnection>) -> Result<bool> {
        let stamp = async {
            let connection = match connection {
                Some(connection) => connection,
                none => none.insert(self.options.connect().await?),
            };
            self.stamp(connection).await
        };
        timeout(DEADLINE, stamp).await.unwrap_or_else(|late| Err(Error::unavailable(late)))
    }

    /// Stamps once. True if no server had lived before.
    async fn stamp(&self, connection: &mut PgConnection) -> Result<bool> {
        let age = self.stamped.borrow().map(|at| at.elapsed());
        let lived = age.is_some_and(|age| age < DEAD_AFTER);
        sql::stamp(connection, self.server_id, lived, self.grace, &self.timers_for_people).await
    }
}
