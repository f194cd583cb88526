//! Statements on calls, each in a file of its own.

mod operations;
mod transcript;
mod update;

use std::{cmp::Reverse, collections::HashMap, time::Duration};

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    feeds::{CallFilter, Work},
    list::CallSearch,
    operation::{Operation, OperationState},
    record::{CallName, CallRecord},
    rules::{CallStatus, CallType, EndReason, work::OperationKind},
};
pub(super) use operations::{operation_counters, operations, put_operations, write_operation_versions};
pub(super) use transcript::{Transcript, known_messages, lock_transcripts, messages, transcripts, write_messages};
pub(super) use update::update_calls;

use crate::{
    call_queue,
    platform::{
        db::fetch_by_values,
        error::{Error, Result},
    },
};

/// The database's time; after a lock, so that it is not older than what was waited for.
pub(crate) async fn now(connection: &mut PgConnection) -> Result<OffsetDateTime> {
    Ok(sqlx::query_file_scalar!("src/call/sql/now.sql").fetch_one(connection).await?)
}

/// Those of these calls that are there. Takes no lock.
pub(crate) async fn find_calls(
    connection: &mut PgConnection,
    company_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<CallRecord>> {
    let calls = sqlx::query_file_as!(CallRecord, "src/call/sql/find_calls.sql", company_id, ids);
    let mut calls = calls.fetch_all(&mut *connection).await?;
    // A call that waits in the queue, or was canceled there, has no row.
    let missing: Vec<Uuid> = ids.iter().filter(|id| calls.iter().all(|call| call.id != **id)).copied().collect();
    if missing.is_empty() {
        return Ok(calls);
    }
    let waiting = call_queue::calls_of_items(&mut *connection, company_id, &missing).await?;
    let missing: Vec<Uuid> = missing.into_iter().filter(|id| waiting.iter().all(|call| call.id != *id)).collect();
    calls.extend(waiting);
    if !missing.is_empty() {
        // One that was dispatched between the two statements has a row now.
        let dispatched = sqlx::query_file_as!(CallRecord, "src/call/sql/find_calls.sql", company_id, &missing);
        calls.extend(dispatched.fetch_all(connection).await?);
    }
    Ok(calls)
}

/// True if a call has a row: it was dispatched, or began at the provider. Takes no lock.
pub(crate) async fn has_row(connection: &mut PgConnection, company_id: Uuid, id: Uuid) -> Result<bool> {
    Ok(sqlx::query_file_scalar!("src/call/sql/has_row.sql", company_id, id).fetch_one(connection).await?)
}

/// One call, by either of its names. Takes no lock.
pub(super) async fn find(
    connection: &mut PgConnection,
    company_id: Uuid,
    name: &CallName,
) -> Result<Option<CallRecord>> {
    let id = match name {
        CallName::Id(id) => *id,
        CallName::ControlId(name) => match find_name(connection, company_id, name).await? {
            Some(id) => id,
            None => return Ok(None),
        },
    };
    Ok(find_calls(connection, company_id, &[id]).await?.pop())
}

/// A page of calls, newest first, with those that wait in the queue or ended there. Takes no lock.
pub(super) async fn list(
    connection: &mut PgConnection,
    company_id: Uuid,
    search: &CallSearch,
    before: Option<Uuid>,
    limit: usize,
) -> Result<Vec<CallRecord>> {
    let status: Option<Vec<String>> =
        search.status.as_ref().map(|status| status.iter().map(|status| status.as_str().to_owned()).collect());
    // Before the rows: a call that is dispatched meanwhile is found twice, never not at all.
    let undispatched = call_queue::undispatched_calls(&mut *connection, company_id, search, before, limit).await?;
    let calls = sqlx::query_file_as!(
        CallRecord,
        "src/call/sql/list_calls.sql",
        company_id,
        search.user_id.as_deref(),
        search.campaign_id,
        status.as_deref(),
        before,
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    let mut calls = fetch_by_values(connection, calls).await?;
    let missing = undispatched.into_iter().filter(|call| calls.iter().all(|row| row.id != call.id));
    let missing: Vec<CallRecord> = missing.collect();
    calls.extend(missing);
    calls.sort_by_key(|call| Reverse(call.id));
    calls.truncate(limit);
    Ok(calls)
}

/// Locks a call and reads it; `None` if it has no row.
pub(super) async fn lock_call(
    connection: &mut PgConnection,
    company_id: Uuid,
    name: &CallName,
) -> Result<Option<CallRecord>> {
    let (id, name) = match name {
        CallName::Id(id) => (Some(*id), None),
        CallName::ControlId(name) => (None, Some(name)),
    };
    let locked = sqlx::query_file_as!(CallRecord, "src/call/sql/lock_call.sql", company_id, id, name);
    Ok(locked.fetch_optional(connection).await?)
}

/// Locks and reads those of some calls that nobody else has locked.
pub(super) async fn try_lock_calls(
    connection: &mut PgConnection,
    company_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<CallRecord>> {
    let locked = sqlx::query_file_as!(CallRecord, "src/call/sql/try_lock_calls.sql", company_id, ids);
    Ok(locked.fetch_all(connection).await?)
}

/// The call of a name. Takes no lock: a call keeps its name.
pub(super) async fn find_name(connection: &mut PgConnection, company_id: Uuid, name: &str) -> Result<Option<Uuid>> {
    let found = sqlx::query_file_scalar!("src/call/sql/find_name.sql", company_id, name);
    Ok(found.fetch_optional(connection).await?)
}

/// The calls of these names. Takes no lock: a call keeps its name.
pub(super) async fn find_names(
    connection: &mut PgConnection,
    company_id: Uuid,
    names: &[String],
) -> Result<HashMap<String, Uuid>> {
    let found = sqlx::query_file!("src/call/sql/find_names.sql", company_id, names);
    Ok(found.fetch_all(connection).await?.into_iter().map(|name| (name.name, name.call_id)).collect())
}

/// The ids of calls; `None`: no call has the name. Takes no lock.
pub(super) async fn find_ids(
    connection: &mut PgConnection,
    company_id: Uuid,
    names: &[&CallName],
) -> Result<Vec<Option<Uuid>>> {
    let control_id = |name: &&CallName| match name {
        CallName::ControlId(name) => Some(name.clone()),
        CallName::Id(_) => None,
    };
    let wanted: Vec<String> = names.iter().filter_map(control_id).collect();
    let known = if wanted.is_empty() { HashMap::new() } else { find_names(connection, company_id, &wanted).await? };
    let id = |name: &&CallName| match name {
        CallName::Id(id) => Some(*id),
        CallName::ControlId(name) => known.get(name).copied(),
    };
    Ok(names.iter().map(id).collect())
}

/// The call of a name. A name that no call has is locked, known or not; one that a call has needs no lock, because the call
/// keeps it.
pub(super) async fn lock_name(connection: &mut PgConnection, company_id: Uuid, name: &str) -> Result<Option<Uuid>> {
    if let Some(call_id) = find_name(&mut *connection, company_id, name).await? {
        return Ok(Some(call_id));
    }
    for _ in 0..3 {
        sqlx::query_file!("src/call/sql/insert_name.sql", company_id, name).execute(&mut *connection).await?;
        let locked = sqlx::query_file_scalar!("src/call/sql/lock_name.sql", company_id, name);
        if let Some(call_id) = locked.fetch_optional(&mut *connection).await? {
            return Ok(call_id);
        }
    }
    Err(Error::unavailable("a name was forgotten while it was locked"))
}

/// Gives a name, which is locked, to a call.
pub(super) async fn give_name(
    connection: &mut PgConnection,
    company_id: Uuid,
    name: &str,
    call_id: Uuid,
) -> Result<()> {
    sqlx::query_file!("src/call/sql/give_name.sql", company_id, name, call_id).execute(connection).await?;
    Ok(())
}

/// News of a name that no call has yet.
pub(super) struct ParkedNews {
    pub(super) id: Uuid,
    /// `None`: somebody asked to hang it up.
    pub(super) status: Option<CallStatus>,
    pub(super) end_reason: Option<EndReason>,
    pub(super) occurred_at: OffsetDateTime,
}

/// Parks news; the name is locked. False if the company has `most` already.
pub(super) async fn park_news(
    connection: &mut PgConnection,
    company_id: Uuid,
    name: &str,
    news: &ParkedNews,
    now: OffsetDateTime,
    most: i64,
) -> Result<bool> {
    let parked = sqlx::query_file!(
        "src/call/sql/park_news.sql",
        company_id,
        name,
        news.id,
        news.status.map(CallStatus::as_str),
        news.end_reason.map(EndReason::as_str),
        news.occurred_at,
        now,
        most,
    );
    Ok(parked.execute(connection).await?.rows_affected() == 1)
}

/// Takes the parked news of a name, which is locked, in the order of its receipt.
pub(super) async fn take_news(connection: &mut PgConnection, company_id: Uuid, name: &str) -> Result<Vec<ParkedNews>> {
    let taken = sqlx::query_file_as!(ParkedNews, "src/call/sql/take_news.sql", company_id, name);
    let mut taken = taken.fetch_all(connection).await?;
    taken.sort_unstable_by_key(|news| news.id);
    Ok(taken)
}

/// Names of companies, one beside each company.
type Names = (Vec<Uuid>, Vec<String>);

/// Deletes the oldest parked news that is older than `retention`, at most `limit`; returns the name of each. Waits for
/// nobody.
pub(super) async fn prune_news(connection: &mut PgConnection, retention: Duration, limit: i64) -> Result<Names> {
    let deleted = sqlx::query_file!("src/call/sql/prune_news.sql", retention.as_secs_f64(), limit);
    let deleted = deleted.fetch_all(connection).await?;
    Ok(deleted.into_iter().map(|news| (news.company_id, news.call_control_id)).unzip())
}

/// Locks those of these names that no call has and that nobody else has locked.
pub(super) async fn lock_unused_names(
    connection: &mut PgConnection,
    companies: &[Uuid],
    names: &[String],
) -> Result<Names> {
    let locked =
        sqlx::query_file!("src/call/sql/lock_unused_names.sql", companies, names).fetch_all(connection).await?;
    Ok(locked.into_iter().map(|name| (name.company_id, name.call_control_id)).unzip())
}

/// Deletes those of these names, which are locked, that no call has and that have no news.
pub(super) async fn delete_names(connection: &mut PgConnection, companies: &[Uuid], names: &[String]) -> Result<()> {
    sqlx::query_file!("src/call/sql/delete_names.sql", companies, names).execute(connection).await?;
    Ok(())
}

/// Inserts a call.
pub(super) async fn insert_call(connection: &mut PgConnection, call: &CallRecord) -> Result<()> {
    sqlx::query_file!(
        "src/call/sql/insert_call.sql",
        call.company_id,
        call.id,
        call.call_control_id,
        call.user_id,
        call.agent_id,
        match call.call_type {
            CallType::Direct => "DIRECT",
            CallType::Campaign => "CAMPAIGN",
        },
        call.campaign_id,
        call.phone_number,
        call.contact_id,
        call.contact_name,
        call.user_data,
        call.attempt,
        call.inbound,
        call.status.as_str(),
        call.version,
        call.queued_at,
        call.started_at,
        call.inserted_at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The calls of a stream's present state, oldest first: id and version. Takes no lock.
pub(super) async fn open_calls(
    connection: &mut PgConnection,
    company_id: Uuid,
    filter: &CallFilter,
) -> Result<Vec<(Uuid, i32)>> {
    let calls = sqlx::query_file!(
        "src/call/sql/open_calls.sql",
        company_id,
        filter.user_id.as_deref(),
        filter.campaign_id,
        filter.waits_for == Some(Work::HangUp),
        filter.waits_for.is_none() && filter.status.is_none_or(|status| status == CallStatus::Queued),
    );
    Ok(calls.fetch_all(connection).await?.into_iter().map(|call| (call.id, call.version)).collect())
}

/// The call of an operation. Takes no lock: it stays the same.
pub(super) async fn call_of_operation(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
) -> Result<Option<Uuid>> {
    let found = sqlx::query_file_scalar!("src/call/sql/call_of_operation.sql", company_id, id);
    Ok(found.fetch_optional(connection).await?)
}

/// The operations that run on these calls. Takes no lock.
pub(super) async fn running_operations(
    connection: &mut PgConnection,
    company_id: Uuid,
    call_ids: &[Uuid],
) -> Result<Vec<Operation>> {
    let operations = sqlx::query_file_as!(Operation, "src/call/sql/running_operations.sql", company_id, call_ids);
    Ok(operations.fetch_all(connection).await?)
}
