//! The statement that writes what a unit of work collected.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Changes;
use crate::platform::error::Result;

/// Changes as columns, for `unnest` in a statement.
#[derive(Debug, Default)]
pub(crate) struct ChangeColumns<'a> {
    pub(crate) set: TimerColumns<'a>,
    pub(crate) cleared: TimerColumns<'a>,
    pub(crate) events: EventColumns<'a>,
}

/// Timers as columns; those that are cleared have no due time and no token.
#[derive(Debug, Default)]
pub(crate) struct TimerColumns<'a> {
    pub(crate) company_ids: Vec<Uuid>,
    pub(crate) subject_types: Vec<&'a str>,
    pub(crate) subject_ids: Vec<&'a str>,
    pub(crate) purposes: Vec<&'a str>,
    pub(crate) due_at: Vec<OffsetDateTime>,
    pub(crate) tokens: Vec<Uuid>,
}

/// Events as columns of equal length, for `unnest`.
#[derive(Debug, Default)]
pub(crate) struct EventColumns<'a> {
    pub(crate) company_ids: Vec<Uuid>,
    pub(crate) subject_types: Vec<&'a str>,
    pub(crate) subject_ids: Vec<&'a str>,
    pub(crate) versions: Vec<i32>,
    pub(crate) event_types: Vec<&'a str>,
    pub(crate) actors: Vec<Option<&'a str>>,
    pub(crate) payloads: Vec<&'a str>,
    pub(crate) previous: Vec<Option<&'a str>>,
}

impl<'a> ChangeColumns<'a> {
    /// Adds the columns of `changes`.
    pub(crate) fn add(&mut self, changes: &'a Changes) {
        for timer in &changes.timers_set {
            self.set.add(timer.company_id, &timer.subject, timer.purpose);
            self.set.due_at.push(timer.due_at);
            self.set.tokens.push(crate::platform::clock::new_id());
        }
        for timer in &changes.timers_cleared {
            self.cleared.add(timer.company_id, &timer.subject, timer.purpose);
        }
        for event in &changes.events {
            self.events.company_ids.push(event.company_id);
            self.events.subject_types.push(event.subject.subject_type);
            self.events.subject_ids.push(&event.subject.id);
            self.events.versions.push(event.version);
            self.events.event_types.push(event.event_type);
            self.events.actors.push(event.actor.as_deref());
            self.events.payloads.push(&event.payload);
            self.events.previous.push(event.previous.as_deref());
        }
    }
}

impl<'a> TimerColumns<'a> {
    fn add(&mut self, company_id: Uuid, subject: &'a crate::platform::event::Subject, purpose: &'a str) {
        self.company_ids.push(company_id);
        self.subject_types.push(subject.subject_type);
        self.subject_ids.push(&subject.id);
        self.purposes.push(purpose);
    }
}

/// Clears and sets timers and appends events. The subjects are locked.
pub(super) async fn write(connection: &mut PgConnection, changes: &Changes) -> Result<()> {
    if !changes.is_written() {
        return Ok(());
    }
    let mut columns = ChangeColumns::default();
    columns.add(changes);
    let ChangeColumns { set, cleared, events } = &columns;
    sqlx::query_file!(
        "src/platform/unit/sql/write_changes.sql",
        &cleared.company_ids,
        &cleared.subject_types as &[&str],
        &cleared.subject_ids as &[&str],
        &cleared.purposes as &[&str],
        &set.company_ids,
        &set.subject_types as &[&str],
        &set.subject_ids as &[&str],
        &set.purposes as &[&str],
        &set.due_at,
        &set.tokens,
        &events.company_ids,
        &events.subject_types as &[&str],
        &events.subject_ids as &[&str],
        &events.versions,
        &events.event_types as &[&str],
        &events.actors as &[Option<&str>],
        &events.payloads as &[&str],
        &events.previous as &[Option<&str>],
    )
    .execute(connection)
    .await?;
    Ok(())
}
