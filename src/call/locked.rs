//! How every verb on a call runs: lock, read, decide, write.
//!
//! Locks: the company's slots, if the verb may end the call or gives it its name; the call's name at the provider, if the
//! verb may park news under it or gives it; then the call. The statement that locks the call also reads it: the row that it
//! returns is the one that it has locked. Everything else is read after it.
//!
//! A call that waits in the queue, or ended there, has no row: it is read from its item.

use std::collections::HashSet;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    record::{CallName, CallRecord},
    rules::CallStatus,
    sql,
};
use crate::{
    call_queue::{self, slots},
    platform::{
        error::{Error, Result},
        unit::Unit,
    },
};

/// What a verb finds under a call's name.
pub(crate) enum Found {
    /// The call, locked.
    Locked(Box<LockedCall>),
    /// A call that ended in the queue: it was never dispatched, has no row, and nothing will change it.
    Ended(Box<CallRecord>),
}

/// A locked call while one verb decides.
pub(crate) struct LockedCall {
    /// The database's time, read under the lock.
    pub(crate) now: OffsetDateTime,
    /// As of its last event.
    before: CallRecord,
    /// As decided so far.
    pub(crate) call: CallRecord,
    /// There was an event, so the row is to be written.
    is_dirty: bool,
    /// One of the events was its end, so its slot is to be freed.
    has_ended: bool,
}

impl LockedCall {
    fn new(call: CallRecord, now: OffsetDateTime) -> Self {
        Self { now, before: call.clone(), call, is_dirty: false, has_ended: false }
    }

    /// Locks and reads a call; `None` if there is none. A name is looked up without its lock: a call keeps it.
    ///
    /// # Errors
    /// `CONFLICT` for a call that has no row, because it is queued or ended in the queue.
    pub(crate) async fn lock(unit: &mut Unit<'_>, company_id: Uuid, name: &CallName) -> Result<Option<Self>> {
        match Self::find(unit, company_id, name).await? {
            None => Ok(None),
            Some(Found::Locked(locked)) => Ok(Some(*locked)),
            Some(Found::Ended(_)) => Err(Error::conflict("the call ended in the queue and was never dialled")),
        }
    }

    /// As [`Self::lock`], by the call's id.
    pub(crate) async fn lock_id(unit: &mut Unit<'_>, company_id: Uuid, id: Uuid) -> Result<Option<Self>> {
        Self::lock(unit, company_id, &CallName::Id(id)).await
    }

    /// As [`Self::lock`], for a verb to which a call that ended in the queue is one more call that is over.
    ///
    /// # Errors
    /// `CONFLICT` for a call that is queued.
    pub(crate) async fn find(unit: &mut Unit<'_>, company_id: Uuid, name: &CallName) -> Result<Option<Found>> {
        if let Some(locked) = Self::lock_row(unit, company_id, name).await? {
            return Ok(Some(Found::Locked(Box::new(locked))));
        }
        // A call without a row has no name but its id.
        let CallName::Id(id) = name else { return Ok(None) };
        match call_queue::calls_of_items(unit.connection(), company_id, &[*id]).await?.pop() {
            Some(call) if call.status == CallStatus::Queued => {
                Err(Error::conflict("the call is queued and was not dialled"))
            }
            Some(call) => Ok(Some(Found::Ended(Box::new(call)))),
            // It may have been dispatched between the two statements: then it has a row now.
            None => {
                let locked = Self::lock_row(unit, company_id, name).await?;
                Ok(locked.map(|locked| Found::Locked(Box::new(locked))))
            }
        }
    }

    async fn lock_row(unit: &mut Unit<'_>, company_id: Uuid, name: &CallName) -> Result<Option<Self>> {
        let Some(call) = sql::lock_call(unit.connection(), company_id, name).await? else { return Ok(None) };
        // The time of the statement that waited for the lock may be older than what it waited for.
        let now = sql::now(unit.connection()).await?;
        Ok(Some(Self::new(call, now)))
    }

    /// Locks and reads those of some calls that nobody else has locked; returns the ids of the others as well, as far as they
    /// are there. Never waits.
    pub(crate) async fn try_lock(
        unit: &mut Unit<'_>,
        company_id: Uuid,
        ids: &[Uuid],
    ) -> Result<(Vec<Self>, HashSet<Uuid>)> {
        let locked = sql::try_lock_calls(unit.connection(), company_id, ids).await?;
        let now = sql::now(unit.connection()).await?;
        let missing: Vec<Uuid> = ids.iter().filter(|id| locked.iter().all(|call| call.id != **id)).copied().collect();
        let others = if missing.is_empty() {
            HashSet::new()
        } else {
            sql::find_calls(unit.connection(), company_id, &missing).await?.iter().map(|call| call.id).collect()
        };
        Ok((locked.into_iter().map(|call| Self::new(call, now)).collect(), others))
    }

    /// True if the record is another one than at its last event.
    pub(crate) fn is_changed(&self) -> bool {
        self.call != self.before
    }

    /// Appends the event of what was decided, if the record was changed. The row is written by [`Self::write_all`].
    pub(crate) fn record(&mut self, unit: &mut Unit<'_>, event_type: &'static str, actor: Option<&str>) -> Result<()> {
        if self.is_changed() {
            self.call.version += 1;
            self.call.updated_at = self.now;
            unit.changes().record(event_type, actor, &self.call, Some(&self.before))?;
            self.is_dirty = true;
            self.has_ended |= self.call.status == CallStatus::Ended && self.before.status != CallStatus::Ended;
            self.before = self.call.clone();
        }
        Ok(())
    }

    /// Writes the records of calls of one company that had events, and frees the slots of those that have ended.
    pub(crate) async fn write_all(unit: &mut Unit<'_>, calls: &[&Self]) -> Result<()> {
        let dirty: Vec<&CallRecord> =
            calls.iter().filter(|locked| locked.is_dirty).map(|locked| &locked.call).collect();
        let Some(company_id) = dirty.first().map(|call| call.company_id) else { return Ok(()) };
        sql::update_calls(unit.connection(), company_id, &dirty).await?;
        let ended: Vec<&CallRecord> =
            calls.iter().filter(|locked| locked.has_ended).map(|locked| &locked.call).collect();
        if ended.is_empty() { Ok(()) } else { slots::release(unit, company_id, &ended).await }
    }

    /// Writes the record with its event, if it was changed. Returns it as it is now.
    pub(crate) async fn write(
        mut self,
        unit: &mut Unit<'_>,
        event_type: &'static str,
        actor: Option<&str>,
    ) -> Result<CallRecord> {
        self.record(unit, event_type, actor)?;
        Self::write_all(unit, &[&self]).await?;
        Ok(self.call)
    }
}
