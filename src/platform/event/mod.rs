//! The event log: every state change appends one event in its own transaction, and every subscriber receives it once,
//! in order.
//!
//! ```text
//! service ── append ──► table event           same transaction, last statement
//!    └─ after the commit: LogNotifier::notify
//!          ├─► this process's reader, at once
//!          └─► notifier ── NOTIFY, a wake-up without data ──► other processes' listeners ──► their readers
//!                                                             (and each reader polls)
//! subscription ◄── EventQueue ◄── hub ◄── reader: one statement, everything after its position
//! ```
//!
//! **Guarantee.** Each event reaches each interested subscription once, and the events of one subject in version order,
//! whichever server wrote them, in whatever order transactions commit, whichever connection fails. It rests on:
//!
//! - **The position** ([`Position`]): the greatest writing transaction seen, and those below it that were still in
//!   progress. Sequence numbers become visible out of order, and the bounds of a snapshot do not survive a crash.
//! - **Wake-ups without data.** A commit with NOTIFY takes a lock of the whole cluster across its flush, so no request
//!   sends one. The notifier sends at most one in a few milliseconds; a poll covers lost ones.
//! - **Bounded queues that lose nothing.** A subscription whose [`EventQueue`](hub::EventQueue) was full reads the log
//!   again from the position where it overflowed, page by page, however long the gap is.
//!
//! **Failures.** While the database is away nothing is delivered; afterwards the reader goes on from its position. If
//! the log was dropped past a position or cursor (retention), or the database has another history (a restored backup),
//! the subscription sends its present state again and marks it as a resync. So does a subscription that meets an event
//! which this build cannot decode; all others go on. A feed may conflate: then a slow client receives the newest state
//! and not each change.
//!
//! **SQL callers** append by the function `append_event`. It checks what the unit of work guarantees: the subject's row
//! is locked, the version is the row's and follows the newest event's, the record has all names. It gives the event the
//! same scope keys.
//!
//! | file | what it does |
//! | --- | --- |
//! | `notifier` | wakes readers after a commit |
//! | `listener` | receives other processes' wake-ups |
//! | `reader` | follows the log |
//! | `hub`, `queue` | route events to subscriptions |
//! | `position`, `cursor` | positions and snapshots; cursors and how they are sealed |
//! | `scope` | names the streams that an event concerns, for the log's index |
//! | `unreadable` | events that this build cannot decode |
//! | `resume`, `history` | read the past of a stream, of an id |
//! | `retention` | makes and drops daily partitions |
//!
//! This module knows no concept: the record of a subject is the concept's affair.

mod cursor;
mod history;
pub mod hub;
pub mod listener;
pub mod notifier;
pub mod position;
mod queue;
pub mod reader;
pub mod render_cache;
mod resume;
pub mod retention;
mod scope;
mod sql;
mod unreadable;

use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

pub use cursor::{Cursor, CursorKey, SubjectName};
pub use history::HistoryPlace;
pub use hub::{Hub, Interest};
pub use notifier::LogNotifier;
pub use position::{Incarnation, LogName, Mark, Position};
pub use render_cache::RenderCache;
pub use resume::{LogRange, Resumed, resume_subject};
pub use scope::{RangeScope, scope_key};
pub use sql::{RangePage, append, history, hold_log, position_now, read_range};
pub use unreadable::is_unreadable;

use crate::platform::error::Result;

/// What an event is about. Versions count, and order is guaranteed, within one subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    /// The concept's name for it, as in its table's name: `chat`, `chat_race`, `messages`.
    pub subject_type: &'static str,
    /// Unique within the company and the type.
    pub id: String,
}

impl Subject {
    /// Names a subject; an id of any type is kept as text.
    pub fn new(subject_type: &'static str, id: impl ToString) -> Self {
        Self { subject_type, id: id.to_string() }
    }
}

/// An event that has not been appended yet.
#[derive(Debug)]
pub struct NewEvent {
    /// The company that the subject belongs to. Only its callers receive the event.
    pub company_id: Uuid,
    /// The subject that changed.
    pub subject: Subject,
    /// The subject's version after the change, raised by one under its row lock.
    pub version: i32,
    /// The change, in the past tense: `ChatStarted`.
    pub event_type: &'static str,
    /// `sub` of the caller; `None` for a timer.
    pub actor: Option<String>,
    /// The subject's flat record at this version, as JSON.
    pub payload: String,
    /// Earlier values of the fields of `payload` that changed, as a JSON object; `None` for a new subject.
    pub previous: Option<String>,
    /// The [keys](scope_key) by which narrowed streams find the event again; `None` if they are not known, and then every
    /// stream of the company considers the event.
    pub scopes: Option<Vec<i64>>,
}

impl NewEvent {
    /// An event whose payload is `record`, the record after the change; `before` is the record before it, `None` for a
    /// new subject.
    pub fn new<R: Serialize>(
        company_id: Uuid,
        subject: Subject,
        version: i32,
        event_type: &'static str,
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
        let actor = actor.map(str::to_owned);
        Ok(Self { company_id, subject, version, event_type, actor, payload, previous, scopes: None })
    }

    /// With the keys of `fields`, by which streams of these events are narrowed; none: streams find the event by its
    /// subject only. The function `append_event` computes the same for `event_subject.scope_fields`.
    pub fn scoped_by(mut self, fields: &[&str]) -> Result<Self> {
        let mut keys = Vec::new();
        if !fields.is_empty() {
            for record in [Some(&self.payload), self.previous.as_ref()].into_iter().flatten() {
                let record: Value = serde_json::from_str(record)?;
                let texts = fields.iter().filter_map(|field| Some((field, record.get(field)?.as_str()?)));
                keys.extend(
                    texts.map(|(field, text)| scope_key(self.company_id, self.subject.subject_type, field, text)),
                );
            }
        }
        keys.sort_unstable();
        keys.dedup();
        self.scopes = Some(keys);
        Ok(self)
    }

    /// The keys of the event as the log's column takes them.
    pub(crate) fn scopes_text(&self) -> Option<String> {
        let keys = self.scopes.as_ref()?.iter().map(i64::to_string);
        Some(format!("{{{}}}", keys.collect::<Vec<_>>().join(",")))
    }
}

/// The fields of `before` that have another value in `after`.
fn changed_fields(before: Value, after: &Value) -> Value {
    let Value::Object(before) = before else { return Value::Object(Map::new()) };
    Value::Object(before.into_iter().filter(|(name, value)| after.get(name) != Some(value)).collect())
}

/// Names one event of a company, and sorts as the pages of a range do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventKey {
    /// As [`Subject::subject_type`].
    pub subject_type: String,
    /// As [`Subject::id`].
    pub subject_id: String,
    /// The subject's version after the change.
    pub version: i32,
}

type Decoded = OnceLock<Option<Arc<dyn Any + Send + Sync>>>;

/// An event as read from the log. One value is shared by all subscriptions that receive it.
#[derive(Debug)]
pub struct Event {
    /// The company that the subject belongs to.
    pub company_id: Uuid,
    /// As [`Subject::subject_type`].
    pub subject_type: String,
    /// As [`Subject::id`].
    pub subject_id: String,
    /// The subject's version after the change.
    pub version: i32,
    /// The change, in the past tense: `ChatStarted`.
    pub event_type: String,
    /// `sub` of the caller; `None` for a timer.
    pub actor: Option<String>,
    /// The subject's record at this version, as JSON text.
    pub payload: String,
    /// Earlier values of the changed fields, as JSON text.
    pub previous: Option<String>,
    /// Database time, read after the subject's lock.
    pub occurred_at: OffsetDateTime,
    /// The writing transaction, by which positions contain the event.
    pub xid: u64,
    /// `payload` as the concept's type; decoded once for all subscriptions.
    record: Decoded,
    /// The record before the change; decoded once.
    before: Decoded,
    /// `payload` and `previous` as JSON values; parsed once.
    fields: OnceLock<(Value, Value)>,
    /// Renderings of this event that several readers share.
    pub render_cache: RenderCache,
}

impl Event {
    /// Names this event within its company.
    pub fn key(&self) -> EventKey {
        EventKey { subject_type: self.subject_type.clone(), subject_id: self.subject_id.clone(), version: self.version }
    }

    /// The subject's record at this version.
    ///
    /// # Errors
    /// [Unreadable](is_unreadable) when the payload is not an `R`; another build may have written it.
    pub fn record<R: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<R>> {
        decoded(&self.record, || serde_json::from_str(&self.payload).ok()).ok_or_else(|| unreadable::error(self))
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
        decoded(&self.before, overlaid).map(Some).ok_or_else(|| unreadable::error(self))
    }

    /// The subject's record before this change, at the version after it: what a DELETE shows a client that may no longer
    /// see the subject. The values that the change brought are not the client's to know. By convention a record's version
    /// is its field `version`.
    ///
    /// # Errors
    /// As [`Event::record`].
    pub fn withdrawn<R: DeserializeOwned>(&self) -> Result<R> {
        let (payload, previous) = self.fields();
        let mut record = payload.as_object().cloned().unwrap_or_default();
        let earlier = previous.as_object().into_iter().flatten().filter(|(field, _)| *field != "version");
        record.extend(earlier.map(|(field, value)| (field.clone(), value.clone())));
        R::deserialize(Value::Object(record)).map_err(|_| unreadable::error(self))
    }

    /// The text that `field` has after the change, and had before it. For routing by field.
    fn values_of(&self, field: &str) -> impl Iterator<Item = &str> {
        let (payload, previous) = self.fields();
        [payload, previous].into_iter().filter_map(move |record| record.get(field)?.as_str())
    }

    /// True if its record has no `field` at all: another build wrote it, and it may concern anybody who chose by that field.
    fn lacks(&self, field: &str) -> bool {
        self.fields().0.get(field).is_none()
    }

    fn fields(&self) -> &(Value, Value) {
        self.fields.get_or_init(|| {
            let parse = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
            (parse(&self.payload), self.previous.as_deref().map_or(Value::Null, parse))
        })
    }

    /// The memory that its texts take, about.
    fn bytes(&self) -> usize {
        const COLUMNS: usize = 512;
        COLUMNS + self.payload.len() + self.previous.as_ref().map_or(0, String::len)
    }

    /// Marks a position that contains it.
    fn mark(&self) -> Mark {
        Mark { xid: self.xid, at: Some(self.occurred_at) }
    }
}

fn decoded<R: Send + Sync + 'static>(slot: &Decoded, decode: impl FnOnce() -> Option<R>) -> Option<Arc<R>> {
    let value = slot.get_or_init(|| decode().map(|record| Arc::new(record) as _)).as_ref()?;
    Arc::clone(value).downcast().ok()
}
