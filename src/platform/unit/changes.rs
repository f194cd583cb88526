//! What a unit of work changes beside the concept's own tables: events, timers, metrics.

use std::time::Instant;

use metrics::Label;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::platform::{
    error::Result,
    event::{NewEvent, Subject, scope_key},
    timer::{NewTimer, TimerKey},
};

/// A flat record that is a subject of the event log. Its JSON is the payload of its events.
pub trait Record: Serialize {
    /// The word for this kind of subject in the event log and in timers, equal to its table's name where it has one.
    const SUBJECT_TYPE: &'static str;

    /// The tenant; part of the subject's key.
    fn company_id(&self) -> Uuid;

    /// Which subject of its type this is.
    fn subject_id(&self) -> Uuid;

    /// Raised by one at each event of the subject.
    fn version(&self) -> i32;

    /// The timers that the record needs in this state: purpose and due time. A unit of work compares them with those of
    /// the record before, so that no verb sets or clears a timer by itself.
    fn timers(&self) -> Vec<(&'static str, OffsetDateTime)> {
        Vec::new()
    }

    /// The fields that streams may be narrowed by ([`Scope::Field`](crate::platform::event::hub::Scope)), each with its
    /// text in the record's JSON. A stream that listens to any other field would miss events when it resumes.
    fn scopes(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Names the subject.
    fn subject(&self) -> Subject {
        Subject::new(Self::SUBJECT_TYPE, self.subject_id())
    }
}

/// The scopes that a subject is in after a change, and those that it was in before.
fn scope_keys<R: Record>(after: &R, before: Option<&R>) -> Vec<i64> {
    let scopes = after.scopes().into_iter().chain(before.map(R::scopes).unwrap_or_default());
    let key = |(field, value): (_, String)| scope_key(after.company_id(), R::SUBJECT_TYPE, field, &value);
    let mut keys: Vec<i64> = scopes.map(key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[derive(Debug)]
struct Count {
    metric: &'static str,
    labels: Vec<Label>,
}

/// Events to append, timers to set and to clear, metrics to count.
#[derive(Debug, Default)]
pub struct Changes {
    pub(super) events: Vec<NewEvent>,
    pub(super) timers_set: Vec<NewTimer>,
    pub(super) timers_cleared: Vec<TimerKey>,
    counts: Vec<Count>,
    observed: Vec<Observed>,
}

/// A time for a histogram.
#[derive(Debug)]
enum Time {
    /// It has passed.
    Seconds(f64),
    /// From then until after the commit.
    Since(Instant),
}

#[derive(Debug)]
struct Observed {
    metric: &'static str,
    labels: Vec<Label>,
    time: Time,
}

fn to_labels(labels: &[(&'static str, &'static str)]) -> Vec<Label> {
    labels.iter().map(|&(name, value)| Label::new(name, value)).collect()
}

impl Changes {
    /// Notes that `before` became `after`; a new subject has no `before`. `actor` is the caller's `sub`, `None` for a
    /// timer.
    ///
    /// # Errors
    /// `INTERNAL_SERVER_ERROR` if the record is not JSON.
    pub fn record<R: Record>(
        &mut self,
        event_type: &'static str,
        actor: Option<&str>,
        after: &R,
        before: Option<&R>,
    ) -> Result<()> {
        let (company_id, subject) = (after.company_id(), after.subject());
        let wanted = after.timers();
        let had = before.map(R::timers).unwrap_or_default();
        for &(purpose, _) in had.iter().filter(|had| wanted.iter().all(|wanted| wanted.0 != had.0)) {
            self.timers_cleared.push(TimerKey { company_id, subject: subject.clone(), purpose });
        }
        for &(purpose, due_at) in wanted.iter().filter(|wanted| !had.contains(wanted)) {
            self.timers_set.push(NewTimer { company_id, subject: subject.clone(), purpose, due_at });
        }
        let mut event = NewEvent::new(company_id, subject, after.version(), event_type, actor, after, before)?;
        event.scopes = Some(scope_keys(after, before));
        self.events.push(event);
        Ok(())
    }

    /// Appends an event of a subject that is no [`Record`].
    pub fn event(&mut self, event: NewEvent) {
        self.events.push(event);
    }

    /// Sets, moves or clears a timer of a subject that is no [`Record`]: when it was due before, and when it is due now.
    pub fn timer(
        &mut self,
        company_id: Uuid,
        subject: &Subject,
        purpose: &'static str,
        before: Option<OffsetDateTime>,
        now: Option<OffsetDateTime>,
    ) {
        let is_other = |its_company: Uuid, its_subject: &Subject, its_purpose: &str| {
            its_company != company_id || its_purpose != purpose || its_subject != subject
        };
        // One statement writes them all, and takes each key once: the last one holds.
        self.timers_set.retain(|timer| is_other(timer.company_id, &timer.subject, timer.purpose));
        self.timers_cleared.retain(|timer| is_other(timer.company_id, &timer.subject, timer.purpose));
        let subject = subject.clone();
        match now {
            Some(due_at) if before != now => self.timers_set.push(NewTimer { company_id, subject, purpose, due_at }),
            None if before.is_some() => self.timers_cleared.push(TimerKey { company_id, subject, purpose }),
            _ => {}
        }
    }

    /// Counts once after the commit, also when nothing else was changed.
    pub fn count(&mut self, metric: &'static str, labels: &[(&'static str, &'static str)]) {
        self.counts.push(Count { metric, labels: to_labels(labels) });
    }

    /// Adds a time to a histogram after the commit.
    pub fn observe(&mut self, metric: &'static str, labels: &[(&'static str, &'static str)], seconds: f64) {
        self.observed.push(Observed { metric, labels: to_labels(labels), time: Time::Seconds(seconds) });
    }

    /// Adds to a histogram how long it took from `began` until the commit had ended.
    pub fn observe_since(&mut self, metric: &'static str, labels: &[(&'static str, &'static str)], began: Instant) {
        self.observed.push(Observed { metric, labels: to_labels(labels), time: Time::Since(began) });
    }

    /// Adds all of `other`.
    pub fn append(&mut self, other: Self) {
        self.events.extend(other.events);
        self.timers_set.extend(other.timers_set);
        self.timers_cleared.extend(other.timers_cleared);
        self.counts.extend(other.counts);
        self.observed.extend(other.observed);
    }

    /// True if there is anything for the database.
    pub(super) fn is_written(&self) -> bool {
        self.has_events() || !self.timers_set.is_empty() || !self.timers_cleared.is_empty()
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// When the first of the timers that were set is due.
    pub(super) fn first_due(&self) -> Option<OffsetDateTime> {
        self.timers_set.iter().map(|timer| timer.due_at).min()
    }

    /// Counts what was noted.
    pub(super) fn into_metrics(self) {
        let events = self.events.len() as u64;
        if events > 0 {
            metrics::counter!("switchboard_events_appended_total").increment(events);
        }
        for Count { metric, labels } in self.counts {
            metrics::counter!(metric, labels).increment(1);
        }
        for Observed { metric, labels, time } in self.observed {
            let seconds = match time {
                Time::Seconds(seconds) => seconds,
                Time::Since(began) => began.elapsed().as_secs_f64(),
            };
            metrics::histogram!(metric, labels).record(seconds);
        }
    }
}
