//! `updateContract`. If the agent changes, the contract's unfinished chats move to the new agent in the same transaction.
//!
//! A change of agent locks the contract `for update`, which waits for the transactions that are offering it a chat. Any
//! other change locks it `for no key update`, which does not wait for them. The races of the unfinished chats are locked
//! after the contract.

use async_graphql::MaybeUndefined;
use uuid::Uuid;

use super::{ContractRecord, ContractStatus, sql};
use crate::{
    chat::{
        Chats, events,
        reassign::reassign,
        rights::{self, Action},
    },
    platform::{
        auth::Principal,
        error::{Error, Result},
        unit::{Lines, Unit, Verb},
    },
};

/// A change of a contract. Its fields are within their bounds. Undefined keeps a value, null clears it.
#[derive(Debug, Clone, Default)]
pub struct ContractPatch {
    /// 1, 2 or 3.
    pub shift: Option<i32>,
    /// Only active contracts are offered chats.
    pub status: Option<ContractStatus>,
    /// The name that the widget shows.
    pub name: MaybeUndefined<String>,
    /// The color that the widget shows.
    pub color: MaybeUndefined<String>,
    /// The agent's price.
    pub rate: MaybeUndefined<f64>,
    /// Seconds until an unanswered chat is flagged missed. Applies to chats that are offered later.
    pub chat_miss_time: MaybeUndefined<i32>,
    /// The cost of a missed chat.
    pub chat_miss_fee: MaybeUndefined<f64>,
    /// The agent who answers. The unfinished chats move to the new agent.
    pub agent_id: MaybeUndefined<Uuid>,
    /// True once the agent has left.
    pub agent_deleted: Option<bool>,
}

impl ContractPatch {
    fn apply(&self, contract: &mut ContractRecord) {
        fn change<T: Clone>(value: &mut Option<T>, patch: &MaybeUndefined<T>) {
            match patch {
                MaybeUndefined::Undefined => {}
                MaybeUndefined::Null => *value = None,
                MaybeUndefined::Value(new) => *value = Some(new.clone()),
            }
        }
        contract.shift = self.shift.unwrap_or(contract.shift);
        contract.status = self.status.unwrap_or(contract.status);
        contract.agent_deleted = self.agent_deleted.unwrap_or(contract.agent_deleted);
        change(&mut contract.name, &self.name);
        change(&mut contract.color, &self.color);
        change(&mut contract.rate, &self.rate);
        change(&mut contract.chat_miss_time, &self.chat_miss_time);
        change(&mut contract.chat_miss_fee, &self.chat_miss_fee);
        change(&mut contract.agent_id, &self.agent_id);
    }
}

struct UpdateContract {
    principal: Principal,
    id: Uuid,
    patch: ContractPatch,
}

impl Verb for UpdateContract {
    type Outcome = ContractRecord;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<ContractRecord> {
        let company_id = self.principal.company_id;
        let moves_agent = !self.patch.agent_id.is_undefined();
        let before = sql::lock(unit.connection(), company_id, self.id, moves_agent).await?;
        let before = before.ok_or_else(|| Error::not_found("contract"))?;
        let mut wanted = before.clone();
        self.patch.apply(&mut wanted);
        if wanted == before {
            return Ok(before);
        }
        if let Some(agent_id) = wanted.agent_id {
            sql::upsert_agent(unit.connection(), company_id, agent_id, None).await?;
        }
        let actor = &self.principal.subject;
        if wanted.agent_id != before.agent_id {
            reassign(unit, company_id, self.id, wanted.agent_id, actor).await?;
        }
        let contract = sql::update(unit.connection(), &wanted).await?;
        unit.changes().record(events::CONTRACT_UPDATED, Some(actor), &contract, Some(&before))?;
        Ok(contract)
    }

    fn lines(&self) -> Lines {
        Lines { subject: Some((self.principal.company_id, self.id)), caller: Some(self.principal.name()) }
    }
}

impl Chats {
    /// Changes a contract. A patch that changes nothing leaves the contract and its version as they are.
    ///
    /// # Errors
    /// `FORBIDDEN` for all but the company, `NOT_FOUND` for an unknown contract.
    #[tracing::instrument(name = "contract.update", skip_all, fields(contract.id = %id))]
    pub async fn update_contract(
        &self,
        principal: &Principal,
        id: Uuid,
        patch: &ContractPatch,
    ) -> Result<ContractRecord> {
        rights::may(principal, Action::Administer)?;
        self.work.run(UpdateContract { principal: principal.clone(), id, patch: patch.clone() }).await
    }
}
