//! A line as it was read, while calls decide over it, and as it is to be written.

use std::collections::VecDeque;

use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    record::{Hold, OPERATION, Parties, REAP, TAKEN_OVER, WAITER, event_type},
    rules::{Draft, Line, Requests, Waiter},
};
use crate::platform::{
    error::Result,
    event::{NewEvent, Subject},
    lease,
    unit::{Changes, Lines},
};

/// How far [`LineWrite::used_at`] may lag behind, so that most writes of a line change no index.
const USED_WITHIN: Duration = Duration::hours(1);

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

    /// The line as the subject of a batch: calls on it keep their order.
    pub(super) fn subject(&self) -> Uuid {
        self.uuid.unwrap_or_else(|| Lines::id_of(&["operation", &self.chat_id]))
    }
}

/// A line's row, as it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Raised by every write of the line or one of its requests.
    pub(super) revision: i64,
    pub(super) used_at: OffsetDateTime,
}

/// A line as it was read, with what calls on it decide on.
#[derive(Debug)]
pub(super) struct SeenLine {
    /// The database's time.
    pub(super) now: OffsetDateTime,
    /// `None`: nobody ever entered the line.
    pub(super) row: Option<Row>,
    pub(super) line: Line,
    /// Of a chat of ours.
    pub(super) parties: Option<Parties>,
    /// Key and revision of the race of a chat of ours.
    pub(super) race: Option<(Uuid, i64)>,
    /// Those that the calls are about.
    pub(super) requests: Requests,
    /// The next waiters, if the line may be handed over.
    pub(super) next: VecDeque<Waiter>,
}

/// A line while calls decide over it.
pub(super) struct Decision {
    key: LineKey,
    before: Line,
    row: Option<Row>,
    race: Option<(Uuid, i64)>,
    pub(super) parties: Option<Parties>,
    pub(super) draft: Draft,
    /// Counted also for a call that is refused.
    counts: Changes,
}

/// A decided line, about to be written.
#[derive(Debug)]
pub(super) struct LineWrite {
    pub(super) key: LineKey,
    /// The revision that was read; `None`: the line is new, its key must be free.
    pub(super) base_revision: Option<i64>,
    pub(super) revision: i64,
    pub(super) used_at: OffsetDateTime,
    /// Key and revision of the race of a chat of ours.
    pub(super) race: Option<(Uuid, i64)>,
    pub(super) draft: Draft,
    pub(super) changes: Changes,
}

impl Decision {
    /// A decision over a line as it was read. Finished requests are remembered for `memory`.
    pub(super) fn new(key: LineKey, seen: SeenLine, memory: std::time::Duration) -> Self {
        let SeenLine { now, row, line, parties, race, requests, next } = seen;
        let draft = Draft::new(now, memory, line.clone(), requests, next);
        Self { key, before: line, row, race, parties, draft, counts: Changes::default() }
    }

    /// Counts once the decision holds, also if this call is refused or changes nothing.
    pub(super) fn count(&mut self, metric: &'static str, outcome: &'static str) {
        self.counts.count(metric, &[("outcome", outcome)]);
    }

    /// What is to be written, `None` if nothing was changed; and what is counted.
    pub(super) fn into_write(self) -> Result<(Option<LineWrite>, Changes)> {
        let Self { key, before, row, race, parties, draft, counts } = self;
        if draft.line == before && draft.requests.changed().next().is_none() {
            return Ok((None, counts));
        }
        let mut changes = Changes::default();
        let subject = Subject::new(OPERATION, &key.chat_id);
        for event in &draft.events {
            let hold = Hold::new(key.company_id, &key.chat_id, parties.as_ref(), draft.now, event);
            let event_type = event_type(event.waiter.call_type, event.phase);
            let actor = Some(event.waiter.actor.as_str());
            let event = NewEvent::new(key.company_id, subject.clone(), event.version, event_type, actor, &hold, None)?;
            changes.event(event.scoped_by(&[WAITER])?);
        }
        for told in &draft.taken_over {
            let hold = Hold::taken_over(key.company_id, &key.chat_id, told, draft.now);
            let (subject, actor) = (Subject::new(OPERATION, told.attempt), Some(told.actor.as_str()));
            let event = NewEvent::new(key.company_id, subject, hold.version, TAKEN_OVER, actor, &hold, None)?;
            changes.event(event.scoped_by(&[WAITER])?);
        }
        changes.timer(key.company_id, &subject, REAP, before.reap_at(), draft.line.reap_at());
        let base_revision = row.map(|row| row.revision);
        // The rule of tokens: so a revision is never used again, also after the line was deleted.
        let revision = lease::next_token(base_revision.unwrap_or_default(), draft.now);
        let used_at = row.map(|row| row.used_at).filter(|used_at| draft.now - *used_at < USED_WITHIN);
        let used_at = used_at.unwrap_or(draft.now);
        Ok((Some(LineWrite { key, base_revision, revision, used_at, race, draft, changes }), counts))
    }
}
