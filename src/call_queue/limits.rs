//! `setCallConcurrency`: a lower limit ends nothing and admits nothing until enough calls have ended; a higher one
//! dispatches at once.

use uuid::Uuid;

use super::{CallQueue, slots, sql};
use crate::platform::{
    auth::Principal,
    error::Result,
    unit::{Lines, Unit, Verb},
};

struct SetLimits {
    company_id: Uuid,
    actor: String,
    user_id: Option<String>,
    limit: Option<i32>,
    system_limit: Option<i32>,
}

impl Verb for SetLimits {
    type Outcome = ();

    async fn run(&self, unit: &mut Unit<'_>) -> Result<()> {
        slots::lock(unit, self.company_id).await?;
        sql::set_limits(unit.connection(), self.company_id, self.user_id.as_deref(), self.limit, self.system_limit)
            .await?;
        unit.mark_changed();
        unit.changes().count("switchboard_call_limits_set_total", &[]);
        slots::dispatch(unit, self.company_id).await
    }

    fn lines(&self) -> Lines {
        slots::lines(self.company_id, &self.actor)
    }
}

impl CallQueue {
    /// Sets the limit of a user, the company's, or both; `None` keeps one.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers.
    #[tracing::instrument(name = "call_queue.set_limits", skip_all)]
    pub async fn set_limits(
        &self,
        principal: &Principal,
        user_id: Option<String>,
        limit: Option<i32>,
        system_limit: Option<i32>,
    ) -> Result<()> {
        principal.require_company()?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        self.work.run(SetLimits { company_id, actor, user_id, limit, system_limit }).await
    }
}
