//! `cancelQueuedCalls`: takes whole lines away at once, if as many items wait in them as the caller has seen.

use uuid::Uuid;

use super::{CallQueue, slots, sql};
use crate::{
    call::rules::CallType,
    platform::{
        auth::Principal,
        error::{Error, Result},
        unit::{Lines, Unit, Verb},
    },
};

/// Which items are canceled.
#[derive(Debug, Clone)]
pub struct CanceledLines {
    /// Of this user.
    pub user_id: String,
    /// Only of this type.
    pub call_type: Option<CallType>,
    /// Only of this campaign.
    pub campaign_id: Option<Uuid>,
    /// How many wait, as the caller has seen.
    pub expected: i32,
}

/// What became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanceledCount {
    /// Items that waited.
    pub canceled: i32,
    /// Items whose calls have slots; they go on.
    pub already_dispatched: i32,
}

struct CancelAll {
    company_id: Uuid,
    actor: String,
    lines: CanceledLines,
}

impl Verb for CancelAll {
    type Outcome = CanceledCount;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<CanceledCount> {
        slots::lock(unit, self.company_id).await?;
        let lines = sql::lines_to_cancel(unit.connection(), self.company_id, &self.lines).await?;
        let waiting: i32 = lines.iter().map(|line| line.waiting).sum();
        if waiting != self.lines.expected {
            return Err(Error::conflict(format!("{waiting} items wait, not {}", self.lines.expected)));
        }
        let mut canceled = 0;
        for line in &lines {
            canceled += slots::cancel_line(unit, self.company_id, line.id).await?;
        }
        slots::dispatch(unit, self.company_id).await?;
        unit.mark_changed();
        unit.changes().count("switchboard_call_queue_lines_canceled_total", &[]);
        let dispatched: i64 = lines.iter().map(|line| line.dispatched).sum();
        Ok(CanceledCount { canceled, already_dispatched: i32::try_from(dispatched).unwrap_or(i32::MAX) })
    }

    fn lines(&self) -> Lines {
        slots::lines(self.company_id, &self.actor)
    }
}

impl CallQueue {
    /// Cancels everything that waits in some lines of a user.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `CONFLICT` unless as many wait as expected.
    #[tracing::instrument(name = "call_queue.cancel_all", skip_all)]
    pub async fn cancel_all(&self, principal: &Principal, lines: CanceledLines) -> Result<CanceledCount> {
        principal.require_company()?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        self.work.run(CancelAll { company_id, actor, lines }).await
    }
}
