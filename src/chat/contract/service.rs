//! Creating, changing and finding contracts.

use async_graphql::MaybeUndefined;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{ContractFilter, ContractPatch, ContractRecord, NewContract, sql};
use crate::{
    chat::{Chats, changes::Changes, race, rights, website},
    platform::{
        auth::{Principal, Role},
        db,
        error::{Error, Result},
    },
};

impl ContractPatch {
    fn apply(&self, contract: &mut ContractRecord) {
        fn change<T: Clone>(value: &mut Option<T>, patch: &MaybeUndefined<T>) {
            match patch {
                MaybeUndefined::Undefined => {}
                MaybeUndefined::Null => *value = None,
                MaybeUndefined::Value(new) => *value = Some(new.clone()),
            }
        }
        contract.session = self.session.unwrap_or(contract.session);
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

/// To what a caller's rights narrow a list of contracts: the website and the agent. `None`: it may see none.
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
        let contract = sql::find(&mut *self.pool.acquire().await?, principal.company_id, id).await?;
        Ok(contract.filter(|contract| rights::sees_contract(principal, contract)))
    }

    /// Those of the contracts that the caller may see that pass `filter`.
    pub async fn contracts(&self, principal: &Principal, filter: &ContractFilter) -> Result<Vec<ContractRecord>> {
        let Some(narrowed) = narrowed(principal) else { return Ok(Vec::new()) };
        sql::list(&mut *self.pool.acquire().await?, principal.company_id, filter, narrowed).await
    }

    /// Whose contract this is: for widgets without a token.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown contract.
    pub async fn company_of_contract(&self, id: Uuid) -> Result<Uuid> {
        let company = sql::company_of(&mut *self.pool.acquire().await?, id).await?;
        company.ok_or_else(|| Error::not_found("contract"))
    }

    /// The present shift, by the database's clock.
    pub async fn current_shift(&self) -> Result<i32> {
        let now: OffsetDateTime = race::now(&mut *self.pool.acquire().await?).await?;
        Ok(race::state::shift_of(now))
    }

    /// Creates a contract; its agent becomes known by it.
    ///
    /// # Errors
    /// `FORBIDDEN` for all but the company, `NOT_FOUND` for an unknown website.
    #[tracing::instrument(name = "contract.create", skip_all)]
    pub async fn create_contract(&self, principal: &Principal, new: NewContract) -> Result<ContractRecord> {
        principal.require_company()?;
        let contract = db::retrying(|| self.create_contract_once(principal, &new)).await?;
        self.notifier.notify();
        Ok(contract)
    }

    async fn create_contract_once(&self, principal: &Principal, new: &NewContract) -> Result<ContractRecord> {
        let mut transaction = self.pool.begin().await?;
        let connection = &mut *transaction;
        let company_id = principal.company_id;
        // Websites are never deleted, so the look holds.
        let website = website::sql::find(connection, company_id, new.website_id).await?;
        website.ok_or_else(|| Error::not_found("website"))?;
        if let Some(agent_id) = new.agent_id {
            sql::know_agent(connection, company_id, agent_id, new.agent_name.as_deref()).await?;
        }
        let contract = sql::insert(connection, company_id, new).await?;
        let mut changes = Changes::by(company_id, Some(&principal.subject));
        changes.contract("ContractCreated", &contract, None)?;
        changes.append(connection).await?;
        transaction.commit().await?;
        Ok(contract)
    }

    /// Changes a contract. Where its agent changes, its unfinished chats move to the new one in the same transaction.
    /// A patch that changes nothing is answered with the contract as it is.
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
        principal.require_company()?;
        let contract = db::retrying(|| self.update_contract_once(principal, id, patch)).await?;
        self.notifier.notify();
        Ok(contract)
    }

    async fn update_contract_once(
        &self,
        principal: &Principal,
        id: Uuid,
        patch: &ContractPatch,
    ) -> Result<ContractRecord> {
        let mut transaction = self.pool.begin().await?;
        let connection: &mut PgConnection = &mut transaction;
        let company_id = principal.company_id;
        let before = sql::lock(connection, company_id, id, !patch.agent_id.is_undefined()).await?;
        let before = before.ok_or_else(|| Error::not_found("contract"))?;
        let mut wanted = before.clone();
        patch.apply(&mut wanted);
        if wanted == before {
            transaction.rollback().await?;
            return Ok(before);
        }
        if let Some(agent_id) = wanted.agent_id {
            sql::know_agent(connection, company_id, agent_id, None).await?;
        }
        let mut changes = Changes::by(company_id, Some(&principal.subject));
        if wanted.agent_id != before.agent_id {
            race::reassign(connection, company_id, id, wanted.agent_id, &mut changes).await?;
        }
        let contract = sql::save(connection, &wanted).await?;
        changes.contract("ContractUpdated", &contract, Some(&before))?;
        changes.append(connection).await?;
        transaction.commit().await?;
        Ok(contract)
    }
}
