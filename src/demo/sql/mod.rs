//! Statements that insert the demo company, each in a file of its own.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{AGENTS, Demo, MISS_TIME};
use crate::platform::error::Result;

/// Inserts the rows that do not exist; true if the company did not. A concurrent call waits for the first one and then
/// finds all rows.
pub(super) async fn insert(connection: &mut PgConnection, demo: &Demo) -> Result<bool> {
    let company =
        sqlx::query_file!("src/demo/sql/insert_company.sql", demo.company_id).execute(&mut *connection).await?;
    sqlx::query_file!("src/demo/sql/insert_website.sql", demo.company_id, demo.website_id, demo.public_key)
        .execute(&mut *connection)
        .await?;
    let names = AGENTS.map(|(name, _)| name);
    let agents = AGENTS.map(|(_, id)| id);
    sqlx::query_file!("src/demo/sql/insert_agents.sql", demo.company_id, &agents[..], &names[..] as &[&str])
        .execute(&mut *connection)
        .await?;
    let ids: Vec<Uuid> = demo.contracts.iter().map(|contract| contract.id).collect();
    let agents: Vec<Uuid> = demo.contracts.iter().map(|contract| contract.agent_id).collect();
    let sessions: Vec<i32> = demo.contracts.iter().map(|contract| contract.session).collect();
    sqlx::query_file!(
        "src/demo/sql/insert_contracts.sql",
        demo.company_id,
        demo.website_id,
        &ids,
        &agents,
        &sessions,
        MISS_TIME,
    )
    .execute(connection)
    .await?;
    Ok(company.rows_affected() == 1)
}
