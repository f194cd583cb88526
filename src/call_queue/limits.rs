//! `setCallConcurrency`: a lower limit ends nothing and admits nothing until enough calls have ended; a higher one
//! dispatches at once.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CallQueue, slots, sql};
use crate::platform::{
    auth::Principal,
    concept::SubjectType,
    error::Result,
    unit::{Lines, Record, Unit, UnitOfWork, Verb},
};

/// Subject of the limits of a company and of its users; its id is the company's.
pub const CALL_LIMITS: &str = "call_limits";

const CALL_LIMITS_SET: &str = "CallLimitsSet";
const CALL_LIMITS_DEFAULTED: &str = "CallLimitsDefaulted";

/// The subject type with its event types.
pub(super) const SUBJECT: SubjectType =
    SubjectType { name: CALL_LIMITS, event_types: &[CALL_LIMITS_SET, CALL_LIMITS_DEFAULTED] };

/// Users that one transaction settles: the lock is held for milliseconds.
const MOST_USERS: i32 = 500;

/// What was set, as the payload of the event. Values that were kept are null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsRecord {
    /// The company that it belongs to, first part of every key.
    pub company_id: Uuid,
    /// Raised by one at each event of the subject.
    pub version: i32,
    /// The user whose limit was set.
    pub user_id: Option<String>,
    /// Most slots of that user.
    pub limit: Option<i32>,
    /// Most slots of the company.
    pub system_limit: Option<i32>,
}

impl Record for LimitsRecord {
    const SUBJECT_TYPE: &'static str = CALL_LIMITS;

    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn subject_id(&self) -> Uuid {
        self.company_id
    }

    fn version(&self) -> i32 {
        self.version
    }
}

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
        let set = LimitsRecord {
            company_id: self.company_id,
            version: sql::raise_limits(unit.connection(), self.company_id).await?,
            user_id: self.user_id.clone(),
            limit: self.limit,
            system_limit: self.system_limit,
        };
        unit.changes().record(CALL_LIMITS_SET, Some(&self.actor), &set, None)?;
        unit.changes().count("switchboard_call_limits_set_total", &[]);
        slots::dispatch(unit, self.company_id).await
    }

    fn lines(&self) -> Lines {
        slots::lines(self.company_id, &self.actor)
    }
}

/// Settles some users of a company, because the settings have changed who may be dispatched.
struct Settle {
    company_id: Uuid,
    /// Of the settings.
    version: i32,
    /// Only users after this one.
    after: String,
}

impl Verb for Settle {
    type Outcome = Option<String>;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Option<String>> {
        slots::lock(unit, self.company_id).await?;
        let last = sql::refresh_users(unit.connection(), self.company_id, &self.after, MOST_USERS).await?;
        if last.is_none() {
            sql::note_settled(unit.connection(), self.company_id, self.version).await?;
            let version = sql::raise_limits(unit.connection(), self.company_id).await?;
            let (company_id, user_id) = (self.company_id, None);
            let set = LimitsRecord { company_id, version, user_id, limit: None, system_limit: None };
            unit.changes().record(CALL_LIMITS_DEFAULTED, None, &set, None)?;
        }
        unit.mark_changed();
        slots::dispatch(unit, self.company_id).await?;
        Ok(last)
    }
}

/// Settles the users of a company for this version of the settings, in steps. A step that is repeated changes nothing more.
pub(super) async fn settle(work: &UnitOfWork, company_id: Uuid, version: i32) -> Result<()> {
    let mut after = String::new();
    while let Some(last) = work.run(Settle { company_id, version, after }).await? {
        after = last;
    }
    Ok(())
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
