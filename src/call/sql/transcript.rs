//! Statements on transcripts, each in a file of its own.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    call::{
        append::{CallMessage, Draft, MessageWindow},
        record::CallName,
        rules::CallStatus,
    },
    platform::{error::Result, unit::ChangeColumns},
};

/// What a message's decision needs of its call, and the database's time.
pub(in crate::call) struct Transcript {
    pub(in crate::call) now: OffsetDateTime,
    pub(in crate::call) id: Uuid,
    pub(in crate::call) status: CallStatus,
    pub(in crate::call) finalized_at: Option<OffsetDateTime>,
    /// How many it has.
    pub(in crate::call) messages: i32,
}

/// Names as columns of equal length: ids and the provider's names.
fn columns(names: &[&CallName]) -> (Vec<Option<Uuid>>, Vec<Option<String>>) {
    let column = |name: &&CallName| match name {
        CallName::Id(id) => (Some(*id), None),
        CallName::ControlId(name) => (None, Some(name.clone())),
    };
    names.iter().map(column).unzip()
}

/// Locks the calls of these names, ascending.
pub(in crate::call) async fn lock_transcripts(
    connection: &mut PgConnection,
    company_id: Uuid,
    names: &[&CallName],
) -> Result<()> {
    let (ids, names) = columns(names);
    let lock = sqlx::query_file!(
        "src/call/sql/lock_transcripts.sql",
        company_id,
        &ids as &[Option<Uuid>],
        &names as &[Option<String>]
    );
    lock.fetch_all(connection).await?;
    Ok(())
}

/// The calls of these names, each with its place among them. Takes no lock.
pub(in crate::call) async fn transcripts(
    connection: &mut PgConnection,
    company_id: Uuid,
    names: &[&CallName],
) -> Result<Vec<(usize, Transcript)>> {
    let (ids, names) = columns(names);
    let rows = sqlx::query_file!(
        "src/call/sql/transcripts.sql",
        company_id,
        &ids as &[Option<Uuid>],
        &names as &[Option<String>]
    );
    let mut rows = rows.fetch_all(connection).await?;
    // The database counts from 1.
    rows.sort_unstable_by_key(|row| row.place);
    let rows = rows.into_iter().filter_map(|row| {
        let place = usize::try_from(row.place - 1).ok()?;
        let (now, id, status) = (row.now, row.id, row.status);
        Some((place, Transcript { now, id, status, finalized_at: row.finalized_at, messages: row.messages }))
    });
    Ok(rows.collect())
}

/// Those of these messages (call, id) that were written. Takes no lock.
pub(in crate::call) async fn known_messages(
    connection: &mut PgConnection,
    company_id: Uuid,
    messages: &[(Uuid, Uuid)],
) -> Result<Vec<CallMessage>> {
    let (calls, ids): (Vec<Uuid>, Vec<Uuid>) = messages.iter().copied().unzip();
    let known = sqlx::query_file_as!(CallMessage, "src/call/sql/known_messages.sql", company_id, &calls, &ids);
    Ok(known.fetch_all(connection).await?)
}

/// Adds messages and their events to those of these calls that are as they were read. Returns the calls that were written.
pub(in crate::call) async fn write_messages(
    connection: &mut PgConnection,
    company_id: Uuid,
    drafts: &[Draft],
) -> Result<Vec<Uuid>> {
    let ids: Vec<Uuid> = drafts.iter().map(|draft| draft.call.id).collect();
    let read: Vec<i32> = drafts.iter().map(|draft| draft.call.messages).collect();
    let added: Vec<i32> = drafts.iter().map(|draft| i32::try_from(draft.added.len()).unwrap_or(i32::MAX)).collect();
    let messages: Vec<&CallMessage> = drafts.iter().flat_map(|draft| &draft.added).collect();
    let call_ids: Vec<Uuid> = messages.iter().map(|message| message.call_id).collect();
    let numbers: Vec<i32> = messages.iter().map(|message| message.number).collect();
    let message_ids: Vec<Uuid> = messages.iter().map(|message| message.id).collect();
    let roles: Vec<&str> = messages.iter().map(|message| message.role.as_str()).collect();
    let texts: Vec<&str> = messages.iter().map(|message| message.text.as_str()).collect();
    let times: Vec<OffsetDateTime> = messages.iter().map(|message| message.inserted_at).collect();
    let mut columns = ChangeColumns::default();
    let mut event_calls = Vec::new();
    for draft in drafts {
        columns.add(&draft.changes);
        event_calls.resize(columns.events.versions.len(), draft.call.id);
    }
    let events = &columns.events;
    let written = sqlx::query_file_scalar!(
        "src/call/sql/write_messages.sql",
        company_id,
        &ids,
        &read,
        &added,
        &call_ids,
        &numbers,
        &message_ids,
        &roles as &[&str],
        &texts as &[&str],
        &times,
        &event_calls,
        &events.subject_types as &[&str],
        &events.subject_ids as &[&str],
        &events.versions,
        &events.event_types as &[&str],
        &events.actors as &[Option<&str>],
        &events.payloads as &[&str],
        &events.scopes as &[Option<String>],
    );
    Ok(written.fetch_all(connection).await?)
}

/// Reads a window of the messages of each of these calls, in the window's order. Takes no lock.
pub(in crate::call) async fn messages(
    connection: &mut PgConnection,
    company_id: Uuid,
    call_ids: &[Uuid],
    window: &MessageWindow,
) -> Result<Vec<CallMessage>> {
    let MessageWindow { after, before, newest_first, limit } = *window;
    let messages = sqlx::query_file_as!(
        CallMessage,
        "src/call/sql/messages.sql",
        company_id,
        call_ids,
        after,
        before,
        newest_first,
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    Ok(messages.fetch_all(connection).await?)
}
