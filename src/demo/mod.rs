//! The demo company: something to try the server with, always with two agents on shift.
//!
//! Its ids are fixed, so that examples can name them. Creating it is repeatable and safe from several servers.

mod sql;

use serde::Serialize;
use uuid::{Uuid, uuid};

use crate::platform::{
    error::Result,
    unit::{Unit, UnitOfWork, Verb},
};

/// The demo company.
pub const COMPANY_ID: Uuid = uuid!("5b000000-0000-7000-8000-000000000001");
/// Its website.
pub const WEBSITE_ID: Uuid = uuid!("5b000000-0000-7000-8000-000000000002");
/// What the website's widget logs in with.
pub const PUBLIC_KEY: Uuid = uuid!("5b000000-0000-7000-8000-000000000003");
/// Its agents, by name.
pub const AGENTS: [(&str, Uuid); 2] =
    [("Ada", uuid!("5b000000-0000-7000-8000-0000000000a1")), ("Ben", uuid!("5b000000-0000-7000-8000-0000000000a2"))];
/// Seconds until an unanswered demo chat is flagged missed.
const MISS_TIME: i32 = 30;

/// What the demo company consists of.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Demo {
    /// The tenant.
    pub company_id: Uuid,
    /// Its website.
    pub website_id: Uuid,
    /// For `consumerLogin`.
    pub public_key: Uuid,
    /// One for each agent and shift.
    pub contracts: Vec<DemoContract>,
}

/// An agent's contract for one shift.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DemoContract {
    /// The contract.
    pub id: Uuid,
    /// Who answers.
    pub agent_id: Uuid,
    /// In which shift: 1, 2 or 3.
    pub session: i32,
}

/// The demo company as it is created.
pub fn demo() -> Demo {
    let base = uuid!("5b000000-0000-7000-8000-0000000000c0").as_u128();
    let contracts = (1..=3).flat_map(|session| AGENTS.map(|(_, agent_id)| (session, agent_id)));
    let contracts = contracts
        .zip(1..)
        .map(|((session, agent_id), number)| DemoContract { id: Uuid::from_u128(base + number), agent_id, session })
        .collect();
    Demo { company_id: COMPANY_ID, website_id: WEBSITE_ID, public_key: PUBLIC_KEY, contracts }
}

struct Seed;

impl Verb for Seed {
    type Outcome = bool;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<bool> {
        let created = sql::insert(unit.connection(), &demo()).await?;
        // No event: what it inserts is there before anybody subscribes.
        unit.mark_changed();
        Ok(created)
    }
}

/// Creates the demo company if it is absent; true if it was.
pub async fn seed(work: &UnitOfWork) -> Result<bool> {
    work.run(&Seed).await
}
