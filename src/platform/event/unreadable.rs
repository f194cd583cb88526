//! Events that this build cannot decode: a newer build may have written them, or a program that uses SQL.
//!
//! One such event must not end a stream, nor every resume for as long as the log holds it. The stream that meets it sends
//! its present state again, as a resync, which contains what the event said. Every other stream goes on.

use std::{
    collections::HashSet,
    fmt,
    sync::{Mutex, PoisonError},
};

use uuid::Uuid;

use super::{Event, EventKey};
use crate::platform::error::Error;

/// Most events that are remembered as logged. With more of them, some are logged again.
const REMEMBERED: usize = 1_000;

/// The cause of an error: this event cannot be decoded.
#[derive(Debug)]
struct UnreadableEvent {
    company_id: Uuid,
    key: EventKey,
}

impl fmt::Display for UnreadableEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { company_id, key: EventKey { subject_type, subject_id, version } } = self;
        write!(f, "event {subject_type}:{subject_id} version {version} of company {company_id} is unreadable")
    }
}

impl std::error::Error for UnreadableEvent {}

/// The error of an attempt to decode `event`. Counts the attempt; logs the event unless it was logged before.
pub(super) fn error(event: &Event) -> Error {
    static LOGGED: Mutex<Option<HashSet<(Uuid, EventKey)>>> = Mutex::new(None);
    metrics::counter!("switchboard_events_unreadable_total").increment(1);
    let (company_id, key) = (event.company_id, event.key());
    // Nothing panics while it holds the lock.
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    let logged = logged.get_or_insert_default();
    if logged.len() >= REMEMBERED {
        logged.clear();
    }
    if logged.insert((company_id, key.clone())) {
        let EventKey { subject_type, subject_id, version } = &key;
        let event_type = &event.event_type;
        tracing::error!(
            %company_id, subject_type, subject_id, version, event_type,
            "an event cannot be decoded; the streams that it concerns send their state again"
        );
    }
    Error::internal(UnreadableEvent { company_id, key })
}

/// True if `error` comes from an event that this build cannot decode.
pub fn is_unreadable(error: &Error) -> bool {
    error.is_caused_by::<UnreadableEvent>()
}
