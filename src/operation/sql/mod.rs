//! Statements on lines, each in a file of its own.

mod read;
mod write;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{line::LineKey, record::Parties, rules::CallType};
use crate::platform::error::Result;
pub(super) use read::{Lookup, read};
pub(super) use write::write;

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

/// Locks the race of a chat of ours; of any other id nothing. Then locks the line, if it is there. Waits.
pub(super) async fn lock(connection: &mut PgConnection, key: &LineKey) -> Result<()> {
    if let Some(id) = key.uuid {
        sqlx::query_file!("src/operation/sql/lock_race.sql", key.company_id, id)
            .fetch_optional(&mut *connection)
            .await?;
    }
    sqlx::query_file!("src/operation/sql/lock_line.sql", key.company_id, key.chat_id)
        .fetch_optional(connection)
        .await?;
    Ok(())
}

/// Locks what [`lock`] locks, but never waits; false if somebody else has it locked.
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
