//! Queries of a race that re-opens.

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

/// The contracts of this race's rescinded chats, if its winner may still give way. Takes no lock: what is decided is
/// decided under the race's.
pub(super) async fn candidates(
    connection: &mut PgConnection,
    company_id: Uuid,
    key: Uuid,
    grace_seconds: f64,
) -> Result<Vec<Uuid>> {
    let contracts = sqlx::query_scalar!(
        "select chat.contract_id
         from chat_race as race
         join chat as winner on winner.company_id = race.company_id and winner.id = race.winner_id
         join chat on chat.company_id = race.company_id and chat.key = race.key and chat.close_reason = 'RESCINDED'
         where race.company_id = $1 and race.key = $2 and race.reoffers and winner.status = 'STARTED'
             and winner.started_at + make_interval(secs => $3) >= switchboard.now()
         order by chat.contract_id",
        company_id,
        key,
        grace_seconds,
    )
    .fetch_all(connection)
    .await?;
    Ok(contracts)
}

/// True if the agent's side wrote anything in this chat. The chat's row is locked, so that nothing is added.
pub(super) async fn agent_wrote(connection: &mut PgConnection, chat: &ChatRecord) -> Result<bool> {
    let wrote = sqlx::query_scalar!(
        r#"select exists (
               select from chat_message where company_id = $1 and chat_id = $2 and is_agent
           ) as "wrote!""#,
        chat.company_id,
        chat.id,
    );
    Ok(wrote.fetch_one(connection).await?)
}

/// Offers rescinded chats again, each to its contract's present agent and with its time to be missed begun anew; one
/// that was flagged missed stays so. The contracts and the race are locked.
pub(super) async fn reopen(
    connection: &mut PgConnection,
    company_id: Uuid,
    key: Uuid,
    contracts: &[Uuid],
) -> Result<Vec<ChatRecord>> {
    let chats = chats!(
        "with moment as materialized (select switchboard.now() as now)
         update chat
         set status = 'ACTIVE', close_reason = null, finished_at = null, agent_id = contract.agent_id,
             miss_at = case when chat.missed then chat.miss_at
                 when contract.miss_time > 0 then moment.now + make_interval(secs => contract.miss_time) end,
             version = chat.version + 1, updated_at = moment.now
         from moment, contract
         where chat.company_id = $1 and chat.key = $2 and chat.close_reason = 'RESCINDED'
             and contract.company_id = chat.company_id and contract.id = chat.contract_id and contract.id = any($3)
         returning",
        "",
        company_id,
        key,
        contracts,
    );
    Ok(chats.fetch_all(connection).await?)
}
