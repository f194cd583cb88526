//! The caller in the API.

use async_graphql::{Context, ID, Object, SimpleObject};
use uuid::Uuid;

use super::Caller;
use crate::platform::error::Result;

/// Who is calling.
#[derive(Debug, SimpleObject)]
pub struct Viewer {
    /// `sub`: the visitor, agent user, participant or server user.
    id: ID,
    /// consumer, agent, participant, service or admin.
    role: &'static str,
    /// The tenant.
    company_id: Uuid,
    /// A visitor's website.
    website_id: Option<Uuid>,
    /// An agent's id.
    agent_id: Option<Uuid>,
}

/// Queries on the caller.
#[derive(Default)]
pub struct ViewerQuery;

#[Object]
impl ViewerQuery {
    /// Who is calling, as its credential proves.
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
