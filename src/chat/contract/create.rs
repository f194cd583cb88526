//! `createContract`. It also creates the agent if the id is new.

use uuid::Uuid;

use super::{ContractRecord, ContractStatus, sql};
use crate::{
    chat::{
        Chats, events,
        rights::{self, Action},
        website,
    },
    platform::{
        auth::Principal,
        error::{Error, Result},
        unit::{Unit, Verb},
    },
};

/// A contract to create. Its fields are within their bounds.
#[derive(Debug, Clone)]
pub struct NewContract {
    /// The website whose visitors it serves.
    pub website_id: Uuid,
    /// 1, 2 or 3.
    pub shift: i32,
    /// Only active contracts are offered chats.
    pub status: ContractStatus,
    /// The name that the widget shows.
    pub name: Option<String>,
    /// The color that the widget shows; not interpreted.
    pub color: Option<String>,
    /// The agent's price; not interpreted.
    pub rate: Option<f64>,
    /// Seconds until an unanswered chat is flagged missed; `None`, zero or negative: never.
    pub chat_miss_time: Option<i32>,
    /// The cost of a missed chat; not interpreted.
    pub chat_miss_fee: Option<f64>,
    /// The agent who answers. An unknown id creates an agent.
    pub agent_id: Option<Uuid>,
    /// Replaces the agent's name; `None` keeps it.
    pub agent_name: Option<String>,
}

struct CreateContract<'a> {
    principal: &'a Principal,
    new: &'a NewContract,
}

impl Verb for CreateContract<'_> {
    type Outcome = ContractRecord;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<ContractRecord> {
        let (company_id, new) = (self.principal.company_id, self.new);
        // Websites are never deleted, so this holds without a lock.
        let website = website::sql::find_many(unit.connection(), company_id, &[new.website_id]).await?.pop();
        website.ok_or_else(|| Error::not_found("website"))?;
        if let Some(agent_id) = new.agent_id {
            sql::upsert_agent(unit.connection(), company_id, agent_id, new.agent_name.as_deref()).await?;
        }
        let contract = sql::insert(unit.connection(), company_id, new).await?;
        unit.changes().record(events::CONTRACT_CREATED, Some(&self.principal.subject), &contract, None)?;
        Ok(contract)
    }
}

impl Chats {
    /// Creates a contract.
    ///
    /// # Errors
    /// `FORBIDDEN` for all but the company, `NOT_FOUND` for an unknown website.
    #[tracing::instrument(name = "contract.create", skip_all)]
    pub async fn create_contract(&self, principal: &Principal, new: NewContract) -> Result<ContractRecord> {
        rights::may(principal, Action::Administer)?;
        self.work.run(&CreateContract { principal, new: &new }).await
    }
}
