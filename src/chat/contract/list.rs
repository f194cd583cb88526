//! Reads of contracts, restricted to what the caller may see.

use std::sync::Arc;

use uuid::Uuid;

use super::{ContractFilter, ContractRecord, MOST};
use crate::{
    chat::{Chats, loaders::ContractList, rights::Viewer, rules},
    platform::{
        auth::{Principal, Role},
        batch::Reading,
        error::{Error, Result},
    },
};

/// To which contracts the caller's rights restrict a list. What is absent matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(in crate::chat) struct OwnContracts {
    /// Contracts of this website.
    pub(in crate::chat) website_id: Option<Uuid>,
    /// This agent's contracts.
    pub(in crate::chat) agent_id: Option<Uuid>,
    /// Active contracts, and those that this visitor has a chat with.
    pub(in crate::chat) visitor: Option<String>,
}

/// To which contracts the caller's rights restrict a list. `None`: it may see none.
pub(in crate::chat) fn own_contracts(principal: &Principal) -> Option<OwnContracts> {
    match principal.role {
        Role::Consumer => principal.website_id.map(|website| OwnContracts {
            website_id: Some(website),
            visitor: Some(principal.subject.clone()),
            ..OwnContracts::default()
        }),
        Role::Agent => {
            principal.agent_id.map(|agent| OwnContracts { agent_id: Some(agent), ..OwnContracts::default() })
        }
        Role::Participant => None,
        Role::Service | Role::Admin => Some(OwnContracts::default()),
    }
}

impl Chats {
    /// The contract as the caller may see it, if at all.
    pub async fn contract(&self, principal: &Arc<Principal>, id: Uuid) -> Result<Option<Arc<ContractRecord>>> {
        let Some(contract) = self.loaders.contract(principal.company_id, id).await? else { return Ok(None) };
        let viewer = Viewer::from(Arc::clone(principal));
        if let Some(shown) = viewer.shown(&contract) {
            return Ok(Some(shown));
        }
        let Some(shown) = viewer.shown_with_chat(&contract) else { return Ok(None) };
        Ok(self.loaders.has_chat_with(principal, id).await?.then_some(shown))
    }

    /// The newest contracts, at most [`MOST`], that the caller may see and that match `filter`, oldest first.
    pub async fn contracts(
        &self,
        reading: &Reading,
        principal: &Arc<Principal>,
        filter: ContractFilter,
    ) -> Result<Vec<Arc<ContractRecord>>> {
        let Some(own) = own_contracts(principal) else { return Ok(Vec::new()) };
        // Those of a visitor's chats are of the chats under all of its names.
        let earlier = principal.earlier.clone().filter(|_| own.visitor.is_some());
        let earlier = earlier.map(|name| OwnContracts { visitor: Some(name), ..own.clone() });
        let list = |own| ContractList { company_id: principal.company_id, filter: filter.clone(), own, limit: MOST };
        let mut found = self.loaders.contracts(reading, list(own)).await?;
        if let Some(own) = earlier {
            found.extend(self.loaders.contracts(reading, list(own)).await?);
            found.sort_by_key(|contract| (contract.inserted_at, contract.id));
            found.dedup_by_key(|contract| contract.id);
            found.drain(..found.len().saturating_sub(MOST));
        }
        let viewer = Viewer::from(Arc::clone(principal));
        // The statement has left out what a visitor has no chat with.
        Ok(found.iter().filter_map(|contract| viewer.shown_with_chat(contract)).collect())
    }

    /// The company and the website of a contract, for widgets without a token.
    ///
    /// # Errors
    /// `NOT_FOUND` for an unknown contract.
    pub async fn website_of_contract(&self, id: Uuid) -> Result<(Uuid, Uuid)> {
        let website = self.loaders.website_of_contract(id).await?;
        website.ok_or_else(|| Error::not_found("contract"))
    }

    /// The active contracts of a website that match `filter`, as everybody may see them.
    pub async fn public_contracts(
        &self,
        reading: &Reading,
        website: (Uuid, Uuid),
        filter: ContractFilter,
    ) -> Result<Vec<Arc<ContractRecord>>> {
        let (company_id, website_id) = website;
        let own = OwnContracts { website_id: Some(website_id), ..OwnContracts::default() };
        let list = ContractList { company_id, filter, own, limit: MOST };
        let viewer = Viewer::Public { company_id };
        Ok(self.loaders.contracts(reading, list).await?.iter().filter_map(|contract| viewer.shown(contract)).collect())
    }

    /// The present shift, by the database's clock.
    pub async fn current_shift(&self) -> Result<i32> {
        Ok(rules::shift_of(self.loaders.now().await?))
    }
}
