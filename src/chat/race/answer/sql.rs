//! The queries that only answers need. The races are locked.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    chat::race::{
        record::ChatRecord,
        sql::chats,
        state::{ChatStatus, CloseReason},
    },
    platform::error::Result,
};

/// Starts `winners`, one active chat of each of the races `keys`, and withdraws every other offer of these races that
/// is still out. Answers all that were changed. Each started chat gets its opening message in the same transaction.
pub(super) async fn settle(
    connection: &mut PgConnection,
    company_id: Uuid,
    keys: &[Uuid],
    winners: &[Uuid],
) -> Result<Vec<ChatRecord>> {
    let chats = chats!(
        "with moment as materialized (select switchboard.now() as now),
         offer as (
             select id, id = any($3) as wins from chat
             where company_id = $1 and key = any($2) and status = 'ACTIVE'
         )
         update chat
         set status = case when offer.wins then 'STARTED' else 'FINISHED' end,
             started_at = case when offer.wins then moment.now else chat.started_at end,
             message_count = chat.message_count + case when offer.wins then 1 else 0 end,
             close_reason = case when offer.wins then null else $4 end,
             finished_at = case when offer.wins then null else moment.now end,
             version = chat.version + 1, updated_at = moment.now
         from offer, moment
         where chat.company_id = $1 and chat.id = offer.id
         returning",
        "",
        company_id,
        keys,
        winners,
        CloseReason::Rescinded.as_str()
    );
    Ok(chats.fetch_all(connection).await?)
}
