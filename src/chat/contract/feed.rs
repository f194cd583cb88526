//! The feed of contracts: which ones a subscription sends, and when.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    ContractFilter, ContractRecord,
    list::{OwnContracts, own_contracts},
    sql,
};
use crate::{
    chat::{CONTRACT, feeds, rights::Viewer},
    platform::{
        auth::Role,
        error::{Error, Result},
        event::{Event, Interest, Subject, hub::Scope},
        subscription::{ChangeOperation, Feed, Versioned},
    },
};

/// Most contracts of the present state.
const MOST: usize = 10_000;

/// The feed of the subscriptions `contractStatus` and `contractChanged`.
#[derive(Debug, Clone)]
pub struct ContractFeed {
    /// Decides which contracts and which of their fields are sent.
    pub viewer: Viewer,
    /// Must be the viewer's company if it is given; otherwise `NOT_FOUND`.
    pub company_id: Option<Uuid>,
    /// Sends the contracts of this website only.
    pub website_id: Option<Uuid>,
}

impl ContractFeed {
    /// An event does not show whether a visitor has a chat with the contract, so a contract that is not active leaves every
    /// visitor's stream.
    fn shown(&self, contract: &Arc<ContractRecord>) -> Option<Arc<ContractRecord>> {
        let passes = self.website_id.is_none_or(|website| website == contract.website_id);
        self.viewer.shown(contract).filter(|_| passes)
    }

    fn check_company(&self) -> Result<()> {
        match self.company_id {
            Some(company) if company != self.viewer.company_id() => Err(Error::not_found("company")),
            _ => Ok(()),
        }
    }
}

impl Feed for ContractFeed {
    type Record = Arc<ContractRecord>;

    /// Must be the viewer's company if it is given; otherwise `NOT_FOUND`.
    fn company_id(&self) -> Uuid {
        self.viewer.company_id()
    }

    fn interests(&self) -> Vec<Interest> {
        let of_website = |website: Uuid| Scope::Field("websiteId", website.to_string());
        let asked = self.website_id.map_or(Scope::All, of_website);
        let scope = match &self.viewer {
            Viewer::Known(principal) => match principal.role {
                Role::Participant => None,
                Role::Agent => principal.agent_id.map(|agent| Scope::Field("agentId", agent.to_string())),
                Role::Consumer => principal.website_id.map(of_website),
                Role::Service | Role::Admin => Some(asked),
            },
            _ => Some(asked),
        };
        scope
            .map(|scope| Interest { company_id: self.company_id(), subject_type: CONTRACT, scope })
            .into_iter()
            .collect()
    }

    fn subject(&self) -> Option<Subject> {
        None
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async move {
            self.check_company()?;
            let own = match &self.viewer {
                Viewer::Known(principal) => own_contracts(principal),
                _ => Some(OwnContracts::default()),
            };
            let Some(own) = own else { return Ok(Vec::new()) };
            let filter = ContractFilter { website_id: self.website_id, ..ContractFilter::default() };
            let contracts = sql::list(connection, self.company_id(), &filter, &own, MOST).await?;
            let shown = contracts.into_iter().filter_map(|contract| self.shown(&Arc::new(contract)));
            Ok(shown.map(|record| Versioned { version: record.version, record }).collect())
        })
    }

    fn first<'a>(&'a self, _connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Self::Record>>> {
        Box::pin(async { self.check_company().map(|()| Vec::new()) })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        if event.subject_type != CONTRACT {
            return Ok(None);
        }
        let contract = event.record::<ContractRecord>()?;
        let before = event.before::<ContractRecord>()?.is_some_and(|before| self.shown(&before).is_some());
        let now = self.shown(&contract);
        // DELETE carries the contract as it is now. The reader saw it before, so the fields that it was shown are no secret.
        let record = || now.clone().unwrap_or_else(|| self.viewer.redacted(&contract));
        Ok(feeds::operation(before, now.is_some()).map(|operation| (operation, record())))
    }
}
