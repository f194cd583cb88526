//! What servers do for all sessions: presence twice a second, providers' scores once a second, health and clean-up at
//! their paces.
//!
//! Every server tries each turn; the row of the duty in Postgres lets one have it, and the pace is kept there. So a
//! server that dies delays nothing, and two never do the same at once. A turn is one transaction, or for health one a
//! session, and any of them may be lost: the next turn finds the same work.
//!
//! An outage of all servers or of the database silences everybody. The turn that comes first after over 5 s without one
//! notes it, and silence counts from then. A server that has taken a turn lately by its own clock knows that there was
//! no outage: an old turn then means that the database's clock was moved.

use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::{SessionSettings, sql};
use crate::platform::{db::pool, error::Result, task::Task, unit::UnitOfWork};

/// Pause between two looks. A participant is disconnected within a second of being due: this, the pace of the presence
/// duty (450 ms), and the sweep itself.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A server whose last turn is older cannot say that there was no outage.
const LIVED: Duration = Duration::from_secs(5);

/// The background tasks of this concept.
pub(crate) fn tasks(work: &UnitOfWork, settings: &SessionSettings) -> Vec<Task> {
    let duties = Duties { work: work.clone(), settings: settings.clone(), looked_at: None, is_set: false };
    vec![Task::new("sessions", |stop| duties.run(stop))]
}

struct Duties {
    work: UnitOfWork,
    settings: SessionSettings,
    /// When this server last looked at presence.
    looked_at: Option<Instant>,
    /// This server's settings are in the database.
    is_set: bool,
}

impl Duties {
    async fn run(mut self, stop: CancellationToken) {
        let mut away = false;
        loop {
            match self.look().await {
                Ok(()) => away = false,
                Err(error) if !std::mem::replace(&mut away, true) => {
                    tracing::warn!(error = error.chain(), "sessions cannot be watched; will try again");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Tries a turn of every duty, on a connection that no request waits for, and not longer than a link may be silent.
    async fn look(&mut self) -> Result<()> {
        let pool = self.work.timer_pool().clone();
        let mut connection = pool.acquire().await?;
        pool::within(pool::deadline(&pool), self.take_turns(&mut connection)).await
    }

    async fn take_turns(&mut self, connection: &mut PgConnection) -> Result<()> {
        if !self.is_set {
            sql::use_settings(connection, &self.settings).await?;
            self.is_set = true;
        }
        let has_lived = self.looked_at.is_some_and(|at| at.elapsed() < LIVED);
        let swept = sql::sweep_presence(connection, has_lived).await?;
        self.looked_at = Some(Instant::now());
        metrics::counter!("switchboard_session_disconnects_total").increment(swept.unsigned_abs().into());
        sql::fold_providers(connection).await?;
        let ended = sql::clean_up(connection).await?;
        metrics::counter!("switchboard_session_ends_total").increment(ended.unsigned_abs().into());
        for (company_id, session_id) in sql::judge_health(connection).await? {
            if let Err(error) = sql::publish_health(connection, company_id, &session_id).await {
                // A session that somebody holds locked must not keep the others from their alerts.
                tracing::debug!(session_id, error = error.chain(), "health not published; the next turn tries again");
            }
        }
        Ok(())
    }
}
