//! How every verb on a line runs: lock, read, reap, decide, write.
//!
//! Locks: the chat's race (of a chat of ours), then the line. The line is read in a statement after both, so that time and
//! state are those under the lock.

use std::{collections::VecDeque, time::Duration};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    record::{Hold, OPERATION, Parties, REAP, TAKEN_OVER, WAITER, event_type},
    rules::{Draft, Known, Line, Request},
    sql,
};
use crate::platform::{
    error::Result,
    event::{NewEvent, Subject},
    unit::{Lines, Unit},
};

/// Names a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineKey {
    /// The company that it belongs to, first part of every key.
    pub company_id: Uuid,
    /// A chat here or an id from elsewhere; a UUID in lower case.
    pub chat_id: String,
    /// The id, if it is a UUID with hyphens.
    pub uuid: Option<Uuid>,
}

impl LineKey {
    /// The line of a chat, as a caller names it.
    pub fn new(company_id: Uuid, chat_id: &str) -> Self {
        let uuid = Uuid::try_parse(chat_id).ok().filter(|_| chat_id.len() == 36);
        let chat_id = uuid.map_or_else(|| chat_id.to_owned(), |uuid| uuid.to_string());
        Self { company_id, chat_id, uuid }
    }

    /// Where a verb on this line waits before it takes a connection; `caller`: the claim `sub`.
    pub(super) fn lines(&self, caller: &str) -> Lines {
        let id = self.uuid.unwrap_or_else(|| Lines::id_of(&["operation", &self.chat_id]));
        Lines { subject: Some((self.company_id, id)), caller: Some((self.company_id, caller.to_owned())) }
    }
}

/// A line as it was read under its lock.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) now: OffsetDateTime,
    pub(super) version: i32,
    pub(super) line: Line,
    pub(super) parties: Option<Parties>,
    pub(super) known: Known,
}

/// A locked line while one verb decides.
pub(super) struct LockedLine<'a> {
    key: &'a LineKey,
    before: Line,
    version: i32,
    pub(super) parties: Option<Parties>,
    pub(super) known: Known,
    pub(super) draft: Draft,
}

impl<'a> LockedLine<'a> {
    /// Locks and reads a line, and one request of it; creates a line that nobody ever entered. `may_release`: the verb may
    /// release the line although its holder lives.
    pub(super) async fn lock(
        unit: &mut Unit<'_>,
        key: &'a LineKey,
        (principal, request_id): (&str, &str),
        may_release: bool,
    ) -> Result<Self> {
        sql::lock(unit.connection(), key).await?;
        Self::read(unit, key, (principal, request_id), may_release).await
    }

    /// As [`LockedLine::lock`]; `None` for a line that nobody ever entered.
    pub(super) async fn lock_known(
        unit: &mut Unit<'_>,
        key: &'a LineKey,
        request: (&str, &str),
        may_release: bool,
    ) -> Result<Option<Self>> {
        if !sql::lock_known(unit.connection(), key).await? {
            return Ok(None);
        }
        Self::read(unit, key, request, may_release).await.map(Some)
    }

    async fn read(
        unit: &mut Unit<'_>,
        key: &'a LineKey,
        (principal, request_id): (&str, &str),
        may_release: bool,
    ) -> Result<Self> {
        let Read { now, version, line, parties, known } =
            sql::read(unit.connection(), key, principal, request_id).await?;
        let next = if line.waiting > 0 && (may_release || line.is_to_reap(now)) {
            sql::next_waiters(unit.connection(), key, line.last_granted).await?
        } else {
            VecDeque::new()
        };
        let mut draft = Draft::new(now, line.clone(), next);
        draft.reap();
        Ok(Self { key, before: line, version, parties, known, draft })
    }

    /// Writes what was decided: rows, the timer, events. `request` is the caller's, if it has one; `memory`: how long
    /// finished requests are remembered.
    pub(super) async fn write(self, unit: &mut Unit<'_>, request: Option<&Request>, memory: Duration) -> Result<()> {
        let Self { key, before, version, parties, draft, .. } = self;
        let is_changed = draft.line != before || draft.taken_over.is_some() || !draft.finished.is_empty();
        if !is_changed {
            return Ok(());
        }
        let mut raised = version;
        for event in &draft.events {
            raised += 1;
            let hold = Hold::new(key.company_id, &key.chat_id, raised, parties.as_ref(), draft.now, event);
            let event_type = event_type(event.waiter.call_type, event.phase);
            let (subject, actor) = (Subject::new(OPERATION, &key.chat_id), Some(event.waiter.actor.as_str()));
            let event = NewEvent::new(key.company_id, subject, raised, event_type, actor, &hold, None)?;
            unit.changes().event(event.scoped_by(&[WAITER])?);
        }
        if let (Some(older), Some(request)) = (draft.taken_over, request) {
            let told = Hold::taken_over(key.company_id, &key.chat_id, older, &request.request_id, draft.now);
            let (subject, actor) = (Subject::new(OPERATION, older), Some(request.actor.as_str()));
            let event = NewEvent::new(key.company_id, subject, 1, TAKEN_OVER, actor, &told, None)?;
            unit.changes().event(event.scoped_by(&[WAITER])?);
        }
        let subject = Subject::new(OPERATION, &key.chat_id);
        unit.changes().timer(key.company_id, &subject, REAP, before.reap_at(), draft.line.reap_at());
        sql::write(unit.connection(), key, &draft, (raised, memory), request).await?;
        unit.mark_changed();
        Ok(())
    }
}
