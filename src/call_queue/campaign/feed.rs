//! The stream of one campaign: its state and its progress.

use std::sync::Arc;

use async_graphql::Context;
use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{CAMPAIGN, CampaignRecord, sql};
use crate::platform::{
    auth::Principal,
    error::{Error, Result},
    event::{Event, Interest, Subject, hub::Scope},
    graphql::{audience::Audience, source::ShownFeed},
    subscription::{ChangeOperation, Feed, Versioned, project},
};

/// Changes of one campaign.
#[derive(Debug, Clone)]
pub struct CampaignFeed {
    /// Who reads: a company's server.
    pub principal: Arc<Principal>,
    /// The only campaign that is shown.
    pub id: Uuid,
}

impl Feed for CampaignFeed {
    type Record = Arc<CampaignRecord>;

    fn company_id(&self) -> Uuid {
        self.principal.company_id
    }

    fn interests(&self) -> Vec<Interest> {
        let scope = Scope::Subject(self.id.to_string());
        vec![Interest { company_id: self.company_id(), subject_type: CAMPAIGN, scope }]
    }

    fn subject(&self) -> Option<Subject> {
        Some(Subject::new(CAMPAIGN, self.id))
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async move {
            let campaign = sql::find(connection, self.company_id(), self.id).await?;
            let campaign = campaign.ok_or_else(|| Error::not_found("campaign"))?;
            Ok(vec![Versioned { version: campaign.version, record: Arc::new(campaign) }])
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        project(event, |campaign| Some(Arc::clone(campaign)), |_| true)
    }
}

/// A company's servers and operators see the same of all campaigns of their company, always.
impl ShownFeed for CampaignFeed {
    fn audience(&self) -> Audience {
        Audience::of_role(&self.principal)
    }

    fn sees_now<'a>(&'a self, _context: &'a Context<'_>, _record: &'a Self::Record) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(true) })
    }
}
