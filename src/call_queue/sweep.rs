//! A slow sweep. The settings' row is written once, when a server starts: the settings of the server that started last
//! hold. Once a minute whatever may be dispatched is. Normally nothing may: every transaction under the lock dispatches
//! before it ends. The exception is a change of the settings, after which the users of each company are settled.

use std::time::Duration;

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{CallQueueSettings, limits, sample, slots, sql};
use crate::platform::{
    error::Result,
    task::Task,
    unit::{Unit, UnitOfWork, Verb},
};

/// Pause between two sweeps.
const EVERY: Duration = Duration::from_mins(1);
/// Pause after one that failed.
const RETRY: Duration = Duration::from_secs(1);

/// The background tasks of this concept.
pub(crate) fn tasks(work: &UnitOfWork, settings: &CallQueueSettings) -> Vec<Task> {
    let (work, settings) = (work.clone(), settings.clone());
    let samples = work.clone();
    vec![
        Task::new("call_queue", |stop| run(work, settings, stop)),
        Task::new("call_queue_samples", |stop| sample::run(samples, stop)),
    ]
}

async fn run(work: UnitOfWork, settings: CallQueueSettings, stop: CancellationToken) {
    let mut is_away = false;
    let mut unwritten = Some(settings);
    loop {
        let pause = match sweep(&work, unwritten.as_ref()).await {
            Ok(()) => {
                is_away = false;
                unwritten = None;
                EVERY
            }
            Err(error) => {
                if !std::mem::replace(&mut is_away, true) {
                    tracing::warn!(error = error.chain(), "the call queue cannot be swept; will try again");
                }
                RETRY
            }
        };
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

async fn sweep(work: &UnitOfWork, unwritten: Option<&CallQueueSettings>) -> Result<()> {
    let look = async |connection: &mut PgConnection| {
        if let Some(settings) = unwritten {
            sql::use_settings(connection, settings).await?;
        }
        Ok((sql::companies_unsettled(connection).await?, sql::companies_waiting(connection).await?))
    };
    let (unsettled, waiting) = work.on_scheduler(look).await?;
    for (company_id, version) in unsettled {
        limits::settle(work, company_id, version).await?;
    }
    for company_id in waiting {
        work.run(Dispatch { company_id }).await?;
    }
    Ok(())
}

struct Dispatch {
    company_id: Uuid,
}

impl Verb for Dispatch {
    type Outcome = ();

    async fn run(&self, unit: &mut Unit<'_>) -> Result<()> {
        slots::lock(unit, self.company_id).await?;
        slots::dispatch(unit, self.company_id).await
    }
}
