//! Reads of contracts, restricted to what the caller may see.

use uuid::Uuid;

use super::{ContractFilter, ContractRecord, sql};
use crate::{
    chat::{Chats, rights, rules, sql as chat_sql},
    platform::{
        auth::{Principal, Role},
        error::{Error, Result},
    },
};

/// The website and the agent to which the caller's rights restrict a list of contracts. `None`: it may see none.
pub(in crate::chat) fn narrowed(principal: &Principal) -> Option<(Option<Uuid>, Option<Uuid>)> {
    match principal.role {
        Role::Consumer => principal.website_id.map(|website| (Some(website), None)),
        Role::Agent => principal.agent_id.map(|agent| (None, Some(agent))),
        Role::Participant => None,
        Role::Service | Role::Admin => Some((None, None)),
    }
}

impl Chats {
    /// The contract, if the caller may see it.
    pub async fn contract(&self, principal: &Principal, id: Uuid) -> Result<Option<ContractRecord>> {
        let contract = self.loaders.contract(principal.company_id, id).await?;
        Ok(contract.filter(|contract| rights::sees_contract(principal, contract)).map(|contract| (*contract).clone()))
    }

    /// The contracts that the caller may see and that match `filter`.
    pub async fn contracts(&self, principal: &Principal, filter: &ContractFilter) -> Result<Vec<ContractRecord>> {
        let Some(narrowed) = narrowed(principal) else { return Ok(Vec::new()) };
        sql::list(&mut *self.work.pool().acquire().await?, principal.company_id, filter, narrowed).await
    }

    /// The company of a contract, for widgets without a token.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown contract.
    pub async fn company_of_contract(&self, id: Uuid) -> Result<Uuid> {
        let company = sql::company_of(&mut *self.work.pool().acquire().await?, id).await?;
        company.ok_or_else(|| Error::not_found("contract"))
    }

    /// The present shift, by the database's clock.
    pub async fn current_shift(&self) -> Result<i32> {
        let now = chat_sql::now(&mut *self.work.pool().acquire().await?).await?;
        Ok(rules::shift_of(now))
    }
}
