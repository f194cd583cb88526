//! How every verb on a call runs: lock, read, decide, write.
//!
//! Locks: the call's name at the provider, if the verb may park news under it or gives it; then the call. The record is
//! read in a statement after the lock.

use std::collections::HashSet;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    record::{CallName, CallRecord},
    sql,
};
use crate::platform::{
    error::{Error, Result},
    unit::Unit,
};

/// A locked call while one verb decides.
pub(super) struct LockedCall {
    /// The database's time, read under the lock.
    pub(super) now: OffsetDateTime,
    before: CallRecord,
    /// As decided so far.
    pub(super) call: CallRecord,
}

impl LockedCall {
    /// Locks and reads a call; `None` if there is none. A name is looked up without its lock: a call keeps it.
    pub(super) async fn lock(unit: &mut Unit<'_>, company_id: Uuid, name: &CallName) -> Result<Option<Self>> {
        let id = match name {
            CallName::Id(id) => *id,
            CallName::ControlId(name) => match sql::find_name(unit.connection(), company_id, name).await? {
                Some(id) => id,
                None => return Ok(None),
            },
        };
        Self::lock_id(unit, company_id, id).await
    }

    /// Locks and reads a call by its id.
    pub(super) async fn lock_id(unit: &mut Unit<'_>, company_id: Uuid, id: Uuid) -> Result<Option<Self>> {
        if !sql::lock_call(unit.connection(), company_id, id).await? {
            return Ok(None);
        }
        let now = sql::now(unit.connection()).await?;
        let call = sql::find_calls(unit.connection(), company_id, &[id]).await?.pop();
        let call = call.ok_or_else(|| Error::internal("a locked call is gone"))?;
        Ok(Some(Self { now, before: call.clone(), call }))
    }

    /// Locks and reads those of some calls that nobody else has locked; returns the ids of the others as well. Never waits.
    pub(super) async fn try_lock(
        unit: &mut Unit<'_>,
        company_id: Uuid,
        ids: &[Uuid],
    ) -> Result<(Vec<Self>, HashSet<Uuid>)> {
        let locked = sql::try_lock_calls(unit.connection(), company_id, ids).await?;
        let now = sql::now(unit.connection()).await?;
        let (mut held, mut others) = (Vec::new(), HashSet::new());
        for call in sql::find_calls(unit.connection(), company_id, ids).await? {
            if locked.contains(&call.id) {
                held.push(Self { now, before: call.clone(), call });
            } else {
                others.insert(call.id);
            }
        }
        Ok((held, others))
    }

    /// True if the record is another one than was read.
    pub(super) fn is_changed(&self) -> bool {
        self.call != self.before
    }

    /// Writes the record with its event, if it was changed. Returns it as it is now.
    pub(super) async fn write(
        mut self,
        unit: &mut Unit<'_>,
        event_type: &'static str,
        actor: Option<&str>,
    ) -> Result<CallRecord> {
        if self.is_changed() {
            self.call.version += 1;
            self.call.updated_at = self.now;
            sql::update_call(unit.connection(), &self.call).await?;
            unit.changes().record(event_type, actor, &self.call, Some(&self.before))?;
        }
        Ok(self.call)
    }
}
