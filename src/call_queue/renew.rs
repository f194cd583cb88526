//! `renewCalls`: a dialer says that calls are still alive, although nothing new happened to them.

use uuid::Uuid;

use super::{CallQueue, sql};
use crate::{
    call::{locked::LockedCall, record::CALL_RENEWED, sql as call_sql},
    platform::{
        auth::Principal,
        error::Result,
        unit::{Lines, Unit, Verb},
    },
};

/// What became of renewing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// Calls whose slots are renewed.
    pub renewed: Vec<Uuid>,
    /// Calls that have no slot: ended, or not known.
    pub ended: Vec<Uuid>,
}

struct Renew {
    company_id: Uuid,
    actor: String,
    ids: Vec<Uuid>,
}

impl Verb for Renew {
    type Outcome = Renewed;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Renewed> {
        // Those that dialers are asked about leave the stream. Calls are locked before their slots' rows.
        for id in sql::asked_calls(unit.connection(), self.company_id, &self.ids).await? {
            if let Some(mut locked) = LockedCall::lock_id(unit, self.company_id, id).await? {
                locked.call.asked = false;
                locked.write(unit, CALL_RENEWED, Some(&self.actor)).await?;
            }
        }
        // Their calls are not locked, so they may end, or dialers may be asked about them, at this moment.
        sql::hold_slots(unit.connection(), self.company_id, &self.ids).await?;
        let now = call_sql::now(unit.connection()).await?;
        let renewed = sql::renew(unit.connection(), self.company_id, &self.ids, now).await?;
        if !renewed.is_empty() {
            unit.mark_changed();
        }
        unit.changes().count("switchboard_call_renewals_total", &[]);
        let ended = self.ids.iter().copied().filter(|id| !renewed.contains(id)).collect();
        Ok(Renewed { renewed, ended })
    }

    fn lines(&self) -> Lines {
        Lines { caller: Some((self.company_id, self.actor.clone())), ..Lines::default() }
    }
}

impl CallQueue {
    /// Renews the slots of calls.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    #[tracing::instrument(name = "call_queue.renew", skip_all)]
    pub async fn renew(&self, principal: &Principal, mut ids: Vec<Uuid>) -> Result<Renewed> {
        principal.require_company()?;
        ids.sort_unstable();
        ids.dedup();
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        self.work.run(Renew { company_id, actor, ids }).await
    }
}
