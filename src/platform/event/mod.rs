//! Events: every state change appends one, in its own transaction, and every subscriber hears of it once, in order.
//!
//! ```text
//! service ── append() ──► table event (same transaction, last statement)
//!    └─ after commit: Bell::ring()
//!          ├─► this process's reader, at once
//!          └─► notifier ── NOTIFY, a wake-up and never the data ──► other processes' listeners
//!                                                                        │  (and a slow poll)
//! subscription ◄── mailbox ◄── hub ◄── reader: one statement, everything after its position
//! ```
//!
//! What is promised: each event reaches each interested subscription once, the events of one subject in version
//! order, from any server, whatever commits late, whichever connection dies. What that rests on:
//!
//! - **The position** ([`Position`]) is the greatest writing transaction seen and those still pending below it.
//!   Sequence numbers become visible out of order; a snapshot's bounds do not survive a crash.
//! - **No request pays for NOTIFY**, whose commit takes a cluster-wide lock across its flush. A notifier in each
//!   process sends at most one in a few milliseconds; lost ones are covered by the poll.
//! - **Nobody is skipped.** A subscription whose [`Mailbox`](hub::Mailbox) is full is told from where to re-read
//!   the log, and does so page by page, however long the gap. One that asks for what was already dropped is told so
//!   and gets the present state again. (What a stream makes of its events is its own affair: some prefer the newest.)
//!
//! This module knows no other concept: what a subject's record looks like is the concept's affair.

pub mod hub;
pub mod listener;
pub mod notifier;
pub mod position;
pub mod render_cache;
pub mod retention;
mod sql;

use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

pub use hub::{Hub, Interest};
pub use notifier::Bell;
pub use position::{Cursor, Incarnation, Position, SubjectName};
pub use render_cache::RenderCache;
pub use sql::{
    HistoryPlace, Resumed, Stretch, append, history, hold_log, position_now, read_stretch, resume, resume_subject,
};

use crate::platform::error::{Error, Result};

/// What an event is about. Versions count, and order is promised, within one subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// `chat`, `chat_race`, `messages`, …: one word per concept, as in its table's name.
    pub kind: &'static str,
    /// Which one.
    pub id: String,
}

impl Subject {
    /// The `kind` named `id`.
    pub fn new(kind: &'static str, id: impl ToString) -> Self {
        Self { kind, id: id.to_string() }
    }
}

/// An event about to be appended.
#[derive(Debug)]
pub struct NewEvent {
    /// The tenant.
    pub company_id: Uuid,
    /// What changed.
    pub subject: Subject,
    /// The subject's version after the change, raised under its row lock.
    pub version: i32,
    /// What happened to it, in the past tense: `ChatStarted`.
    pub kind: &'static str,
    /// `sub` of the caller; `None` for a timer.
    pub actor: Option<String>,
    /// The subject's flat record at this version, as JSON.
    pub payload: String,
    /// Earlier values of the fields of `payload` that changed, as a JSON object; `None` for a new subject.
    pub previous: Option<String>,
}

impl NewEvent {
    /// An event that carries `record` as it is now; `before` is the record as it was, `None` when it is new.
    pub fn new<R: Serialize>(
        company_id: Uuid,
        subject: Subject,
        version: i32,
        kind: &'static str,
        actor: Option<&str>,
        record: &R,
        before: Option<&R>,
    ) -> Result<Self> {
        let previous = match before {
            None => None,
            Some(before) => Some(serde_json::to_string(&changed_fields(
                serde_json::to_value(before)?,
                &serde_json::to_value(record)?,
            ))?),
        };
        let payload = serde_json::to_string(record)?;
        Ok(Self { company_id, subject, version, kind, actor: actor.map(str::to_owned), payload, previous })
    }
}

/// The fields of `before` whose value in `after` differs.
fn changed_fields(before: Value, after: &Value) -> Value {
    let Value::Object(before) = before else { return Value::Object(Map::new()) };
    Value::Object(before.into_iter().filter(|(name, value)| after.get(name) != Some(value)).collect())
}

/// Names one event of a company.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventKey {
    /// The kind of subject.
    pub subject_type: String,
    /// Which one.
    pub subject_id: String,
    /// Its version after the change.
    pub version: i32,
}

type Decoded = OnceLock<Option<Arc<dyn Any + Send + Sync>>>;

/// An event as read from the log; shared by all who are interested in it.
#[derive(Debug)]
pub struct Event {
    /// The tenant.
    pub company_id: Uuid,
    /// What changed: the kind of subject.
    pub subject_type: String,
    /// Which one.
    pub subject_id: String,
    /// The subject's version after the change.
    pub version: i32,
    /// What happened.
    pub kind: String,
    /// Who did it; `None` for a timer.
    pub actor: Option<String>,
    /// The subject's record at this version, as JSON text.
    pub payload: String,
    /// Earlier values of the changed fields, as JSON text.
    pub previous: Option<String>,
    /// Database time of the change.
    pub occurred_at: OffsetDateTime,
    /// The writing transaction.
    pub xid: u64,
    /// `payload` as the concept's type; decoded once however many read it.
    record: Decoded,
    /// The record as it was before.
    before: Decoded,
    /// `payload` and `previous` for routing by field.
    fields: OnceLock<(Value, Value)>,
    /// Renderings of this event that several readers share.
    pub render_cache: RenderCache,
}

impl Event {
    /// Its name.
    pub fn key(&self) -> EventKey {
        EventKey { subject_type: self.subject_type.clone(), subject_id: self.subject_id.clone(), version: self.version }
    }

    /// The subject's record at this version.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` when the payload is not an `R`: the log was written by something else.
    pub fn record<R: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<R>> {
        decoded(&self.record, || serde_json::from_str(&self.payload).ok()).ok_or_else(|| self.unreadable())
    }

    /// The subject's record before this change; `None` when the subject is new.
    ///
    /// # Errors
    /// As [`Event::record`].
    pub fn before<R: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Option<Arc<R>>> {
        if self.previous.is_none() {
            return Ok(None);
        }
        let (payload, previous) = self.fields();
        let overlaid = || {
            let mut record = payload.as_object()?.clone();
            record.extend(previous.as_object()?.clone());
            R::deserialize(Value::Object(record)).ok()
        };
        decoded(&self.before, overlaid).map(Some).ok_or_else(|| self.unreadable())
    }

    /// The values that `field` has now and had before this change, where they are text.
    fn values_of(&self, field: &str) -> impl Iterator<Item = &str> {
        let (payload, previous) = self.fields();
        [payload, previous].into_iter().filter_map(move |record| record.get(field)?.as_str())
    }

    fn fields(&self) -> &(Value, Value) {
        self.fields.get_or_init(|| {
            let parse = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
            (parse(&self.payload), self.previous.as_deref().map_or(Value::Null, parse))
        })
    }

    fn unreadable(&self) -> Error {
        Error::internal(format!(
            "event {}:{} version {} of company {} is unreadable",
            self.subject_type, self.subject_id, self.version, self.company_id
        ))
    }
}

fn decoded<R: Send + Sync + 'static>(slot: &Decoded, decode: impl FnOnce() -> Option<R>) -> Option<Arc<R>> {
    let value = slot.get_or_init(|| decode().map(|record| Arc::new(record) as _)).as_ref()?;
    Arc::clone(value).downcast().ok()
}
