//! The one statement of this folder: inserts the demo company.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{AGENTS, Demo, MISS_TIME};
use crate::platform::error::Result;

/// Inserts the rows that do not exist; true if the company did not. A concurrent call waits for the first one and then
/// finds all rows.
pub(super) async fn insert(connection: &mut PgConnection, demo: &Demo) -> Result<bool> {
    let company =
        sqlx::query!("insert into company (id, name) values ($1, 'Demo') on conflict do nothing", demo.company_id)
            .execute(&mut *connection)
            .await?;
    sqlx::query!(
        "insert into website (company_id, id, public_key, name, color)
         values ($1, $2, $3, 'Demo website', '#3b6ea5')
         on conflict do nothing",
        demo.company_id,
        demo.website_id,
        demo.public_key,
    )
    .execute(&mut *connection)
    .await?;
    for (name, id) in AGENTS {
        sqlx::query!(
            "insert into agent (company_id, id, name) values ($1, $2, $3) on conflict do nothing",
            demo.company_id,
            id,
            name,
        )
        .execute(&mut *connection)
        .await?;
    }
    let ids: Vec<Uuid> = demo.contracts.iter().map(|contract| contract.id).collect();
    let agents: Vec<Uuid> = demo.contracts.iter().map(|contract| contract.agent_id).collect();
    let sessions: Vec<i32> = demo.contracts.iter().map(|contract| contract.session).collect();
    sqlx::query!(
        "insert into contract (company_id, id, website_id, agent_id, name, session, miss_time)
         select $1, new.id, $2, new.agent_id, 'Shift ' || new.session, new.session, $6
         from unnest($3::uuid[], $4::uuid[], $5::int[]) as new (id, agent_id, session)
         on conflict do nothing",
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
