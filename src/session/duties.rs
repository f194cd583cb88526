//! What servers do for all sessions: presence twice a second, providers' scores once a second, health and clean-up at
//! their paces.
//!
//! Every server tries each turn; the row of the duty in Postgres lets one have it, and the pace is kept there. So a
//! server that dies delays nothing, and two never do the same at once. A turn is one transaction, or for health one a
//! session, and any of them may be lost: the next turn finds the same work.
//!
//! An outage of all servers or of the database silences everybody, so silence counts from
//! [the end of the last one](crate::platform::service) at the earliest. The first stamp of a server after an outage notes
//! its end; before that stamp the presence turn judges nobody.

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use super::{SessionSettings, sql};
use crate::platform::{error::Result, task::Task, unit::UnitOfWork};

/// The background tasks of this concept.
pub(crate) fn tasks(work: &UnitOfWork, settings: &SessionSettings) -> Vec<Task> {
    let duties = Duties { work: work.clone(), settings: settings.clone(), is_set: false };
    vec![Task::new("sessions", |stop| duties.run(stop))]
}

struct Duties {
    work: UnitOfWork,
    settings: SessionSettings,
    /// This server's settings are in the database.
    is_set: bool,
}

impl Duties {
    async fn run(mut self, stop: CancellationToken) {
        let mut away = false;
        // A participant is disconnected within a second of being due: this pause, the pace of the presence duty, and the
        // sweep itself.
        let pause = self.settings.presence_sweep_every / 2;
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
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Tries a turn of every duty.
    async fn look(&mut self) -> Result<()> {
        let work = self.work.clone();
        work.on_scheduler(async |connection| self.take_turns(connection).await).await
    }

    async fn take_turns(&mut self, connection: &mut PgConnection) -> Result<()> {
        if !self.is_set {
            sql::use_settings(connection, &self.settings).await?;
            self.is_set = true;
        }
        let swept = sql::sweep_presence(connection).await?;
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
