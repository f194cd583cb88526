//! Statements on lines, each in a file of its own.

use std::collections::VecDeque;

use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    line::{LineKey, Read},
    record::Parties,
    rules::{CallType, Draft, Holder, Known, Line, Request, Waiter},
};
use crate::platform::error::{Error, Result};

/// A live holder of a chat's line, as `startChat` and `endChat` see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderRow {
    /// Whose line: a chat here, or an id from elsewhere.
    pub chat_id: String,
    /// What the holder does.
    pub call_type: CallType,
    /// Role and `sub` of the holder.
    pub principal: String,
    /// The holder's request.
    pub request_id: String,
    /// The holder's fencing token.
    pub token: i64,
}

/// Locks the race of a chat of ours; of any other id nothing. Then locks the line; false if nobody ever entered it.
pub(super) async fn lock_known(connection: &mut PgConnection, key: &LineKey) -> Result<bool> {
    if let Some(id) = key.uuid {
        sqlx::query_file!("src/operation/sql/lock_race.sql", key.company_id, id)
            .fetch_optional(&mut *connection)
            .await?;
    }
    let locked = sqlx::query_file!("src/operation/sql/lock_line.sql", key.company_id, key.chat_id);
    Ok(locked.fetch_optional(connection).await?.is_some())
}

/// Locks what [`lock_known`] locks; a line that nobody ever entered is created.
pub(super) async fn lock(connection: &mut PgConnection, key: &LineKey) -> Result<()> {
    for _ in 0..3 {
        if lock_known(connection, key).await? {
            return Ok(());
        }
        sqlx::query_file!("src/operation/sql/insert_line.sql", key.company_id, key.chat_id)
            .execute(&mut *connection)
            .await?;
    }
    Err(Error::unavailable("a line was deleted while it was locked"))
}

/// Locks what [`lock`] locks, but never waits; false if somebody else has it locked. A line that does not exist is not
/// created.
pub(super) async fn try_lock(connection: &mut PgConnection, key: &LineKey) -> Result<bool> {
    if let Some(id) = key.uuid {
        let race = sqlx::query_file_scalar!("src/operation/sql/try_lock_race.sql", key.company_id, id);
        if !race.fetch_one(&mut *connection).await? {
            return Ok(false);
        }
    }
    let line = sqlx::query_file_scalar!("src/operation/sql/try_lock_line.sql", key.company_id, key.chat_id);
    Ok(line.fetch_one(connection).await?)
}

/// Reads a line that is locked, and what is known of one request.
pub(super) async fn read(
    connection: &mut PgConnection,
    key: &LineKey,
    principal: &str,
    request_id: &str,
) -> Result<Read> {
    let row = sqlx::query_file!(
        "src/operation/sql/read_line.sql",
        key.company_id,
        key.chat_id,
        key.uuid,
        principal,
        request_id
    )
    .fetch_one(connection)
    .await?;
    let holder = match (row.call_type, row.principal, row.request_id, row.attempt, row.granted_at, row.expires_at) {
        (Some(call_type), Some(principal), Some(request_id), Some(attempt), Some(granted_at), Some(expires_at)) => {
            let (claim_by, held_for_ms) = (row.claim_by, row.held_for_ms);
            Some(Holder { call_type, principal, request_id, attempt, granted_at, expires_at, claim_by, held_for_ms })
        }
        _ => None,
    };
    let known = match (row.own_type, row.own_place, row.own_attempt) {
        (Some(call_type), Some(place), Some(attempt)) => Known::Waiting { call_type, place, attempt },
        (Some(_), ..) => Known::Finished,
        _ => Known::New,
    };
    let parties = match (row.website_id, row.visitor) {
        (Some(website_id), Some(visitor)) => Some(Parties { website_id, visitor, agent_id: row.agent_id }),
        _ => None,
    };
    let line = Line {
        last_place: row.last_place,
        last_granted: row.last_granted,
        last_token: row.last_token,
        waiting: row.waiting,
        start_failed: row.start_failed,
        end_failed: row.end_failed,
        holder,
    };
    Ok(Read { now: row.now, version: row.version, line, parties, known })
}

/// The waiters behind the place `after`, up to the first that lives. The line is locked.
pub(super) async fn next_waiters(connection: &mut PgConnection, key: &LineKey, after: i64) -> Result<VecDeque<Waiter>> {
    let waiters =
        sqlx::query_file_as!(Waiter, "src/operation/sql/next_waiters.sql", key.company_id, key.chat_id, after);
    Ok(waiters.fetch_all(connection).await?.into())
}

/// One request, if it waits. The line is locked.
pub(super) async fn find_waiter(
    connection: &mut PgConnection,
    key: &LineKey,
    principal: &str,
    request_id: &str,
) -> Result<Option<Waiter>> {
    let waiter = sqlx::query_file_as!(
        Waiter,
        "src/operation/sql/find_waiter.sql",
        key.company_id,
        key.chat_id,
        principal,
        request_id
    );
    Ok(waiter.fetch_optional(connection).await?)
}

/// Writes what was decided about a line, which is locked; `version` is the line's after the decision's events, `memory`
/// how long finished requests are remembered.
pub(super) async fn write(
    connection: &mut PgConnection,
    key: &LineKey,
    draft: &Draft,
    (version, memory): (i32, std::time::Duration),
    request: Option<&Request>,
) -> Result<()> {
    let (company_id, chat_id) = (key.company_id, &key.chat_id);
    // Before a request of the same name waits anew.
    write_line(connection, key, draft, version, draft.now + memory).await?;
    if let Some(waiter) = &draft.entered {
        insert_waiter(connection, key, waiter, version).await?;
    }
    if let Some(request) = request.filter(|_| draft.taken_over.is_some()) {
        sqlx::query_file!(
            "src/operation/sql/take_over_place.sql",
            company_id,
            chat_id,
            request.principal,
            request.request_id,
            request.attempt,
            request.lease_ms,
            draft.now + Duration::milliseconds(request.wait_ms.into()),
            request.server_id,
        )
        .execute(&mut *connection)
        .await?;
    }
    if let Some(id) = key.uuid.filter(|_| draft.granted) {
        sqlx::query_file!("src/operation/sql/mark_race_coordinated.sql", company_id, id).execute(connection).await?;
    }
    Ok(())
}

/// Inserts a waiter. The event that it began to wait is the last of the decision's events.
async fn insert_waiter(connection: &mut PgConnection, key: &LineKey, waiter: &Waiter, version: i32) -> Result<()> {
    sqlx::query_file!(
        "src/operation/sql/write_waiter.sql",
        key.company_id,
        key.chat_id,
        waiter.principal,
        waiter.request_id,
        waiter.call_type.as_str(),
        waiter.place,
        waiter.attempt,
        waiter.actor,
        waiter.opposite.as_str(),
        waiter.lease_ms,
        waiter.began_at,
        version,
        waiter.wait_until,
        waiter.server_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_line(
    connection: &mut PgConnection,
    key: &LineKey,
    draft: &Draft,
    version: i32,
    forget_at: OffsetDateTime,
) -> Result<()> {
    let (line, holder, finished) = (&draft.line, draft.line.holder.as_ref(), &draft.finished);
    sqlx::query_file!(
        "src/operation/sql/write_line.sql",
        key.company_id,
        key.chat_id,
        version,
        line.last_place,
        line.last_granted,
        line.last_token,
        line.waiting,
        line.start_failed,
        line.end_failed,
        holder.map(|holder| holder.call_type.as_str()),
        holder.map(|holder| holder.principal.as_str()),
        holder.map(|holder| holder.request_id.as_str()),
        holder.map(|holder| holder.attempt),
        holder.map(|holder| holder.granted_at),
        holder.map(|holder| holder.expires_at),
        holder.and_then(|holder| holder.claim_by),
        holder.map_or(0, |holder| holder.held_for_ms),
        draft.now,
        &draft.left,
        &finished.iter().map(|it| it.principal.as_str()).collect::<Vec<_>>() as &[&str],
        &finished.iter().map(|it| it.request_id.as_str()).collect::<Vec<_>>() as &[&str],
        &finished.iter().map(|it| it.call_type.as_str()).collect::<Vec<_>>() as &[&str],
        &vec![forget_at; finished.len()],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A call that waits now, as its first event was.
pub(super) struct WaitingHold {
    pub(super) request_id: String,
    pub(super) call_type: CallType,
    pub(super) opposite: CallType,
    pub(super) attempt: Uuid,
    pub(super) began_at: OffsetDateTime,
    pub(super) began_version: i32,
}

/// The calls that wait in a line, in their order. Takes no lock.
pub(super) async fn waiting_holds(connection: &mut PgConnection, key: &LineKey) -> Result<Vec<WaitingHold>> {
    let holds = sqlx::query_file_as!(WaitingHold, "src/operation/sql/waiting_holds.sql", key.company_id, key.chat_id);
    Ok(holds.fetch_all(connection).await?)
}

/// Who may see the chat of this line; `None` if it is none of ours. Takes no lock.
pub(super) async fn chat_parties(connection: &mut PgConnection, key: &LineKey) -> Result<Option<Parties>> {
    let Some(id) = key.uuid else { return Ok(None) };
    let parties = sqlx::query_file_as!(Parties, "src/operation/sql/chat_parties.sql", key.company_id, id);
    Ok(parties.fetch_optional(connection).await?)
}

/// The live holders of these chats' lines. Takes no lock.
///
/// # Errors
/// `UNAVAILABLE`.
pub async fn holders(connection: &mut PgConnection, company_id: Uuid, chat_ids: &[String]) -> Result<Vec<HolderRow>> {
    let holders = sqlx::query_file_as!(HolderRow, "src/operation/sql/holders.sql", company_id, chat_ids);
    Ok(holders.fetch_all(connection).await?)
}

/// Deletes at most `limit` finished requests that need not be remembered any more; returns how many.
pub(super) async fn prune_requests(connection: &mut PgConnection, limit: i64) -> Result<u64> {
    let deleted = sqlx::query_file!("src/operation/sql/prune_requests.sql", limit).execute(connection).await?;
    Ok(deleted.rows_affected())
}

/// Deletes at most `limit` lines that nobody uses; returns how many.
pub(super) async fn prune_lines(connection: &mut PgConnection, limit: i64) -> Result<u64> {
    let deleted = sqlx::query_file!("src/operation/sql/prune_lines.sql", limit).execute(connection).await?;
    Ok(deleted.rows_affected())
}
