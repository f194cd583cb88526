//! The demo company: data for trying the server, with two agents on every shift.
//!
//! Its ids are fixed, so that examples can name them. Creating it is idempotent, also from several servers at once.

mod sql;

use serde::Serialize;
use uuid::{Uuid, uuid};

use crate::platform::{
    error::Result,
    unit::{Unit, UnitOfWork, Verb},
};

/// The id of the demo company.
pub const COMPANY_ID: Uuid = uuid!("5b000000-0000-7000-8000-000000000001");
/// The id of the company's only website.
pub const WEBSITE_ID: Uuid = uuid!("5b000000-0000-7000-8000-000000000002");
/// The website's public key, for `consumerLogin`.
pub const PUBLIC_KEY: Uuid = uuid!("5b000000-0000-7000-8000-000000000003");
/// The names and ids of the agents. Each has a contract in every shift.
pub const AGENTS: [(&str, Uuid); 2] =
    [("Ada", uuid!("5b000000-0000-7000-8000-0000000000a1")), ("Ben", uuid!("5b000000-0000-7000-8000-0000000000a2"))];
/// Seconds until an unanswered demo chat is flagged missed.
const MISS_TIME: i32 = 30;

/// The demo company and all that belongs to it. Its JSON is printed by `switchboard seed --json`.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Demo {
    /// The demo company, always [`COMPANY_ID`].
    pub company_id: Uuid,
    /// Its website, always [`WEBSITE_ID`].
    pub website_id: Uuid,
    /// What its widget logs in with, always [`PUBLIC_KEY`].
    pub public_key: Uuid,
    /// One contract for each agent and shift.
    pub contracts: Vec<DemoContract>,
}

/// An agent's contract for one shift.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DemoContract {
    /// Fixed, as all ids of the demo company.
    pub id: Uuid,
    /// Whose contract it is, one of [`AGENTS`].
    pub agent_id: Uuid,
    /// The shift: 1, 2 or 3.
    pub session: i32,
}

/// The demo company with its fixed ids.
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
        // No event: the rows exist before any client can subscribe to them.
        unit.mark_changed();
        Ok(created)
    }
}

/// Creates the demo company if it does not exist. True if it was created.
pub async fn seed(work: &UnitOfWork) -> Result<bool> {
    work.run(Seed).await
}
