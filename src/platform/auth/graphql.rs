//! The caller in the API.

use async_graphql::{Context, ID, Object, SimpleObject};
use uuid::Uuid;

use super::Caller;
use crate::platform::error::Result;

/// The caller, as its credential proves.
#[derive(Debug, SimpleObject)]
pub struct Viewer {
    /// The claim `sub`: the visitor, the agent's user, the participant or the server.
    id: ID,
    /// "consumer", "agent", "participant", "service" or "admin".
    role: &'static str,
    /// The company that the caller belongs to. Nothing of another company is reachable.
    company_id: Uuid,
    /// Of a visitor: the website that it logged in to.
    website_id: Option<Uuid>,
    /// Of an agent: the id that contracts refer to.
    agent_id: Option<Uuid>,
}

/// Queries on the caller.
#[derive(Default)]
pub struct ViewerQuery;

#[Object]
impl ViewerQuery {
    /// The caller, as its credential proves.
    async fn viewer(&self, context: &Context<'_>) -> Result<Viewer> {
        let principal = context.data_unchecked::<Caller>().principal()?;
        Ok(Viewer {
            id: ID(principal.subject.clone()),
            role: principal.role.as_str(),
            company_id: principal.company_id,
            website_id: principal.website_id,
            agent_id: principal.agent_id,
        })
    }
}
