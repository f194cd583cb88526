//! What the stream of contracts shows.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ContractFilter, ContractRecord, service, sql};
use crate::{
    auth::{Principal, Role},
    chat::{CONTRACT, race, rights},
    error::{Error, Result},
    event::{Event, Interest, Subject, hub::Scope},
    graphql::subscribe::{ChangeOperation, Feed, Versioned},
};

/// The stream `contractStatus`.
#[derive(Debug, Clone)]
pub struct ContractFeed {
    /// Who reads.
    pub principal: Arc<Principal>,
    /// Whose contracts; the caller's own company if absent.
    pub company_id: Option<Uuid>,
    /// Of which website.
    pub website_id: Option<Uuid>,
}

impl ContractFeed {
    fn shows(&self, contract: &ContractRecord) -> bool {
        rights::sees_contract(&self.principal, contract)
            && self.website_id.is_none_or(|website| website == contract.website_id)
    }
}

impl Feed for ContractFeed {
    type Record = Arc<ContractRecord>;

    fn company_id(&self) -> Uuid {
        self.principal.company_id
    }

    fn interests(&self) -> Vec<Interest> {
        let of_website = |website: Uuid| Scope::Field("websiteId", website.to_string());
        let scope = match (self.principal.role, self.website_id) {
            (Role::Participant, _) => None,
            (Role::Agent, _) => self.principal.agent_id.map(|agent| Scope::Field("agentId", agent.to_string())),
            (Role::Consumer, _) => self.principal.website_id.map(of_website),
            (Role::Service | Role::Admin, website) => Some(website.map_or(Scope::All, of_website)),
        };
        scope
            .map(|scope| Interest { company_id: self.principal.company_id, kind: CONTRACT, scope })
            .into_iter()
            .collect()
    }

    fn subject(&self) -> Option<Subject> {
        None
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async move {
            if self.company_id.is_some_and(|company| company != self.principal.company_id) {
                return Err(Error::not_found("company"));
            }
            let Some(narrowed) = service::narrowed(&self.principal) else { return Ok(Vec::new()) };
            let filter = ContractFilter { website_id: self.website_id, ..ContractFilter::default() };
            let contracts = sql::list(connection, self.principal.company_id, &filter, narrowed).await?;
            let shown = contracts.into_iter().filter(|contract| self.shows(contract));
            Ok(shown.map(|contract| Versioned { version: contract.version, record: Arc::new(contract) }).collect())
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        if event.subject_type != CONTRACT {
            return Ok(None);
        }
        let contract = event.record::<ContractRecord>()?;
        let before = event.before::<ContractRecord>()?.is_some_and(|before| self.shows(&before));
        Ok(race::operation(before, self.shows(&contract)).map(|operation| (operation, contract)))
    }
}
