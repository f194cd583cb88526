//! `createContract`. Its agent becomes known by it.

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

/// A contract about to be created; its bounds are checked.
#[derive(Debug, Clone)]
pub struct NewContract {
    /// Whose visitors it serves.
    pub website_id: Uuid,
    /// Its shift.
    pub shift: i32,
    /// Whether it is offered chats.
    pub status: ContractStatus,
    /// Shown by the widget.
    pub name: Option<String>,
    /// Shown by the widget.
    pub color: Option<String>,
    /// Price.
    pub rate: Option<f64>,
    /// Seconds until an unanswered chat is flagged missed.
    pub chat_miss_time: Option<i32>,
    /// What a miss costs.
    pub chat_miss_fee: Option<f64>,
    /// Who answers; becomes known as an agent by this.
    pub agent_id: Option<Uuid>,
    /// The agent's name, where it is to be set.
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
        let website = website::sql::find(unit.connection(), company_id, new.website_id).await?;
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
