//! Writing decided lines: one statement for all of them, which checks the premises of each.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    operation::{
        line::LineWrite,
        rules::{CallType, Finished, Holder, Known, RequestKey, Waiter},
    },
    platform::{error::Result, unit::ChangeColumns},
};

/// One column of some rows, for `unnest`.
fn column<'a, R, T>(rows: &'a [R], value: impl FnMut(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// One column of the holders of lines; null where nobody holds the line.
fn of_holder<'a, T>(writes: &'a [LineWrite], value: impl Fn(&'a Holder) -> T) -> Vec<Option<T>> {
    column(writes, |write| write.draft.line.holder.as_ref().map(&value))
}

/// A request to write, beside its line.
struct RequestRow<'a> {
    line: &'a str,
    key: &'a RequestKey,
    call_type: CallType,
    /// Of one that waits.
    waiter: Option<&'a Waiter>,
    /// Of one that is finished.
    finished: Option<&'a Finished>,
}

fn of_waiter<'a, T>(rows: &'a [RequestRow<'a>], value: impl Fn(&'a Waiter) -> T) -> Vec<Option<T>> {
    column(rows, |row| row.waiter.map(&value))
}

/// The requests that are to be deleted and those that are to be written, each once.
fn requests(writes: &[LineWrite]) -> (Vec<(&str, &RequestKey)>, Vec<RequestRow<'_>>) {
    let (mut deleted, mut written) = (Vec::new(), Vec::new());
    for write in writes {
        let line = write.key.chat_id.as_str();
        for (key, known) in write.draft.requests.changed() {
            let (call_type, waiter, finished) = match known {
                Known::New => {
                    deleted.push((line, key));
                    continue;
                }
                Known::Waiting(waiter) => (waiter.call_type, Some(waiter), None),
                Known::Finished(finished) => (finished.call_type, None, Some(finished)),
            };
            written.push(RequestRow { line, key, call_type, waiter, finished });
        }
    }
    (deleted, written)
}

/// The timers and events of some lines as columns, and beside each its line.
#[derive(Default)]
struct LineChanges<'a> {
    columns: ChangeColumns<'a>,
    cleared_lines: Vec<&'a str>,
    set_lines: Vec<&'a str>,
    event_lines: Vec<&'a str>,
}

impl<'a> LineChanges<'a> {
    fn of(writes: &'a [LineWrite]) -> Self {
        let mut changes = Self::default();
        for write in writes {
            let line = write.key.chat_id.as_str();
            changes.columns.add(&write.changes);
            changes.cleared_lines.resize(changes.columns.cleared.purposes.len(), line);
            changes.set_lines.resize(changes.columns.set.purposes.len(), line);
            changes.event_lines.resize(changes.columns.events.versions.len(), line);
        }
        changes
    }
}

/// Writes decided lines, each if its premises still hold. Returns those that were written.
pub(in crate::operation) async fn write(
    connection: &mut PgConnection,
    company_id: Uuid,
    writes: &[LineWrite],
) -> Result<BTreeSet<String>> {
    let races: Vec<(&LineWrite, (Uuid, i64))> = writes.iter().filter_map(|write| Some((write, write.race?))).collect();
    let (deleted, requests) = requests(writes);
    let notes = LineChanges::of(writes);
    let ChangeColumns { set, cleared, events } = &notes.columns;
    let written = sqlx::query_file_scalar!(
        "src/operation/sql/write_lines.sql",
        company_id,
        &column(writes, |write| write.key.chat_id.as_str()) as &[&str],
        &column(writes, |write| write.base_revision) as &[Option<i64>],
        &column(writes, |write| write.revision),
        &column(writes, |write| write.draft.line.version),
        &column(writes, |write| write.draft.line.last_place),
        &column(writes, |write| write.draft.line.last_granted),
        &column(writes, |write| write.draft.line.last_token),
        &column(writes, |write| write.draft.line.waiting),
        &column(writes, |write| write.draft.line.start_failed),
        &column(writes, |write| write.draft.line.end_failed),
        &of_holder(writes, |holder| holder.call_type.as_str()) as &[Option<&str>],
        &of_holder(writes, |holder| holder.principal.as_str()) as &[Option<&str>],
        &of_holder(writes, |holder| holder.request_id.as_str()) as &[Option<&str>],
        &of_holder(writes, |holder| holder.attempt) as &[Option<Uuid>],
        &of_holder(writes, |holder| holder.granted_at) as &[Option<OffsetDateTime>],
        &of_holder(writes, |holder| holder.expires_at) as &[Option<OffsetDateTime>],
        &column(writes, |write| write.draft.line.holder.as_ref()?.claim_by) as &[Option<OffsetDateTime>],
        &column(writes, |write| write.draft.line.holder.as_ref().map_or(0, |holder| holder.held_for_ms)),
        &column(writes, |write| write.used_at),
        &column(&races, |(write, _)| write.key.chat_id.as_str()) as &[&str],
        &column(&races, |(_, race)| race.0),
        &column(&races, |(_, race)| race.1),
        &column(&races, |(write, _)| write.draft.granted),
        &column(&deleted, |(line, _)| *line) as &[&str],
        &column(&deleted, |(_, key)| key.0.as_str()) as &[&str],
        &column(&deleted, |(_, key)| key.1.as_str()) as &[&str],
        &column(&requests, |row| row.line) as &[&str],
        &column(&requests, |row| row.key.0.as_str()) as &[&str],
        &column(&requests, |row| row.key.1.as_str()) as &[&str],
        &column(&requests, |row| row.call_type.as_str()) as &[&str],
        &of_waiter(&requests, |waiter| waiter.place) as &[Option<i64>],
        &of_waiter(&requests, |waiter| waiter.attempt) as &[Option<Uuid>],
        &of_waiter(&requests, |waiter| waiter.actor.as_str()) as &[Option<&str>],
        &of_waiter(&requests, |waiter| waiter.opposite.as_str()) as &[Option<&str>],
        &of_waiter(&requests, |waiter| waiter.lease_ms) as &[Option<i32>],
        &of_waiter(&requests, |waiter| waiter.began_at) as &[Option<OffsetDateTime>],
        &of_waiter(&requests, |waiter| waiter.began_version) as &[Option<i32>],
        &of_waiter(&requests, |waiter| waiter.wait_until) as &[Option<OffsetDateTime>],
        &of_waiter(&requests, |waiter| waiter.server_id) as &[Option<Uuid>],
        &column(&requests, |row| row.finished?.completed_by) as &[Option<Uuid>],
        &column(&requests, |row| Some(row.finished?.forget_at)) as &[Option<OffsetDateTime>],
        &notes.cleared_lines as &[&str],
        &cleared.subject_types as &[&str],
        &cleared.subject_ids as &[&str],
        &cleared.purposes as &[&str],
        &notes.set_lines as &[&str],
        &set.subject_types as &[&str],
        &set.subject_ids as &[&str],
        &set.purposes as &[&str],
        &set.due_at,
        &set.tokens,
        &notes.event_lines as &[&str],
        &events.subject_types as &[&str],
        &events.subject_ids as &[&str],
        &events.versions,
        &events.event_types as &[&str],
        &events.actors as &[Option<&str>],
        &events.payloads as &[&str],
        &events.previous as &[Option<&str>],
        &events.scopes as &[Option<String>],
    )
    .fetch_all(connection)
    .await?;
    Ok(written.into_iter().collect())
}
