//! Statements on contracts and agents, each in a file of its own.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{AgentRecord, ContractFilter, ContractRecord, ContractStatus, NewContract, list::OwnContracts};
use crate::platform::{clock, db::fetch_by_values, error::Result};

/// The company and the website of each of these contracts, by the contract's id. They may be of any company, because a
/// caller without a token belongs to none.
pub(in crate::chat) async fn websites_of_contracts(
    connection: &mut PgConnection,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, (Uuid, Uuid)>> {
    let rows = sqlx::query_file!("src/chat/contract/sql/websites_of_contracts.sql", ids).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.id, (row.company_id, row.website_id))).collect())
}

/// Those of these contracts that the visitor has a chat with on this website.
pub(in crate::chat) async fn with_chat(
    connection: &mut PgConnection,
    company_id: Uuid,
    visitor: &str,
    website_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<Uuid>> {
    let with_chat =
        sqlx::query_file_scalar!("src/chat/contract/sql/contracts_with_chat.sql", company_id, visitor, website_id, ids);
    Ok(with_chat.fetch_all(connection).await?)
}

/// Reads the contracts of these ids that exist. Takes no lock.
pub(in crate::chat) async fn find_many(
    connection: &mut PgConnection,
    company_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<ContractRecord>> {
    let contracts = sqlx::query_file_as!(ContractRecord, "src/chat/contract/sql/find_contracts.sql", company_id, ids);
    Ok(contracts.fetch_all(connection).await?)
}

/// Reads at most `limit` active contracts of a website's shift. Takes no lock.
pub(in crate::chat) async fn on_shift(
    connection: &mut PgConnection,
    company_id: Uuid,
    website_id: Uuid,
    shift: i32,
    limit: usize,
) -> Result<Vec<ContractRecord>> {
    let contracts = sqlx::query_file_as!(
        ContractRecord,
        "src/chat/contract/sql/contracts_on_shift.sql",
        company_id,
        website_id,
        shift,
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    Ok(contracts.fetch_all(connection).await?)
}

/// Reads the newest `limit` contracts that match `filter` and are among the caller's own, oldest first.
pub(in crate::chat) async fn list(
    connection: &mut PgConnection,
    company_id: Uuid,
    filter: &ContractFilter,
    own: &OwnContracts,
    limit: usize,
) -> Result<Vec<ContractRecord>> {
    let contracts = sqlx::query_file_as!(
        ContractRecord,
        "src/chat/contract/sql/list_contracts.sql",
        company_id,
        filter.id,
        filter.status,
        filter.shift,
        filter.agent_id,
        filter.website_id,
        own.website_id,
        own.agent_id,
        own.visitor,
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    fetch_by_values(connection, contracts).await
}

/// Locks these contracts `for key share` until the transaction ends, in ascending order. Callers lock races after this.
pub(in crate::chat) async fn lock_share(connection: &mut PgConnection, company_id: Uuid, ids: &[Uuid]) -> Result<()> {
    sqlx::query_file!("src/chat/contract/sql/lock_contracts.sql", company_id, ids).fetch_all(connection).await?;
    Ok(())
}

/// Locks one contract and reads it under the lock: `for update` to change its agent, which waits for transactions that
/// offer it a chat; otherwise `for no key update`, which does not.
pub(super) async fn lock(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
    moves_agent: bool,
) -> Result<Option<ContractRecord>> {
    if moves_agent {
        sqlx::query_file!("src/chat/contract/sql/lock_contract_for_update.sql", company_id, id)
            .fetch_optional(&mut *connection)
            .await?;
    } else {
        sqlx::query_file!("src/chat/contract/sql/lock_contract_for_no_key_update.sql", company_id, id)
            .fetch_optional(&mut *connection)
            .await?;
    }
    // In a statement of its own: the lock may have waited, and the snapshot of its statement is older.
    Ok(find_many(connection, company_id, &[id]).await?.pop())
}

/// Creates an agent, or replaces its name if one is given.
pub(super) async fn upsert_agent(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
    name: Option<&str>,
) -> Result<()> {
    sqlx::query_file!("src/chat/contract/sql/upsert_agent.sql", company_id, id, name).execute(connection).await?;
    Ok(())
}

/// Inserts a contract. Its website and agent exist.
pub(super) async fn insert(
    connection: &mut PgConnection,
    company_id: Uuid,
    new: &NewContract,
) -> Result<ContractRecord> {
    let contract = sqlx::query_file_as!(
        ContractRecord,
        "src/chat/contract/sql/insert_contract.sql",
        company_id,
        clock::new_id(),
        new.website_id,
        new.agent_id,
        new.name,
        new.color,
        new.rate,
        new.status.as_str(),
        new.shift,
        new.chat_miss_time,
        new.chat_miss_fee
    );
    Ok(contract.fetch_one(connection).await?)
}

/// Writes the fields of a contract that can change and raises its version. The caller holds its lock.
pub(super) async fn update(connection: &mut PgConnection, contract: &ContractRecord) -> Result<ContractRecord> {
    let updated = sqlx::query_file_as!(
        ContractRecord,
        "src/chat/contract/sql/update_contract.sql",
        contract.company_id,
        contract.id,
        contract.agent_id,
        contract.name,
        contract.color,
        contract.rate,
        contract.status.as_str(),
        contract.shift,
        contract.chat_miss_time,
        contract.chat_miss_fee,
        contract.agent_deleted
    );
    Ok(updated.fetch_one(connection).await?)
}

/// Reads the agents of these ids that exist.
pub(in crate::chat) async fn find_agents(
    connection: &mut PgConnection,
    company_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<AgentRecord>> {
    let agents = sqlx::query_file_as!(AgentRecord, "src/chat/contract/sql/find_agents.sql", company_id, ids);
    Ok(agents.fetch_all(connection).await?)
}
