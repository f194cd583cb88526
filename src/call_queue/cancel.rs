//! `cancelQueuedCall`: takes one item out of its line. Its call ends as CANCELED and was never dialled.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CallQueue, QueueItem, slots, sql};
use crate::platform::{
    auth::Principal,
    error::{Error, Result},
    unit::{Lines, Unit, Verb},
};

/// What became of canceling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, async_graphql::Enum)]
#[graphql(name = "CancelQueuedCallOutcome")]
pub enum CancelOutcome {
    /// It waited, and does not any more.
    Canceled,
    /// Its call has a slot: it is to be hung up.
    AlreadyDispatched,
    /// It had ended.
    AlreadyEnded,
}

struct Cancel {
    company_id: Uuid,
    actor: String,
    id: Uuid,
}

impl Verb for Cancel {
    type Outcome = (CancelOutcome, QueueItem);

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Self::Outcome> {
        slots::lock(unit, self.company_id).await?;
        let outcome = slots::cancel(unit, self.company_id, self.id, Some(&self.actor)).await?;
        let outcome = outcome.ok_or_else(|| Error::not_found("queue item"))?;
        let item = sql::find_items(unit.connection(), self.company_id, &[self.id]).await?.pop();
        Ok((outcome, item.ok_or_else(|| Error::internal("a canceled item is gone"))?))
    }

    fn lines(&self) -> Lines {
        slots::lines(self.company_id, &self.actor)
    }
}

impl CallQueue {
    /// Cancels an item that waits.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `NOT_FOUND`.
    #[tracing::instrument(name = "call_queue.cancel", skip_all)]
    pub async fn cancel(&self, principal: &Principal, id: Uuid) -> Result<(CancelOutcome, QueueItem)> {
        principal.require_company()?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        self.work.run(Cancel { company_id, actor, id }).await
    }
}
