//! Queries on sessions.

use std::sync::Arc;

use async_graphql::{
    Context, ID, Object,
    connection::{Connection, Edge, EmptyFields},
};

use super::{
    SessionContextExt as _,
    health::{QualityRecovery, SessionHealthAlert, SessionHealthOverview, StaleConnections},
    objects::SessionCoordination,
    provider::{MOST_PROVIDERS, SessionProvider},
};
use crate::{
    platform::{
        error::Result,
        graphql::{context::ContextExt as _, directives, page},
    },
    session::SessionPlace,
};

/// Queries on sessions, their health, and providers.
#[derive(Default)]
pub struct CoordinationQuery;

#[Object]
impl CoordinationQuery {
    /// A session as it is now; null if nobody has named it yet.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn session_coordination(&self, context: &Context<'_>, session_id: ID) -> Result<Option<SessionCoordination>> {
        Ok(context.sessions().session(context.principal()?, &session_id).await?.map(SessionCoordination::from))
    }

    /// The health of a session's participants; empty for an unknown session.
    #[graphql(directive = directives::cost::apply(directives::LIST))]
    async fn session_health(&self, context: &Context<'_>, session_id: ID) -> Result<Option<SessionHealthOverview>> {
        let overview = context.sessions().health(&context.reading(), context.principal()?, &session_id).await?;
        SessionHealthOverview::new(session_id.0, overview).map(Some)
    }

    /// The alerts of a session that hold now.
    #[graphql(
        directive = directives::cost::apply(directives::LIST),
        directive = directives::list_size::apply(3)
    )]
    async fn session_health_alerts(&self, context: &Context<'_>, session_id: ID) -> Result<Vec<SessionHealthAlert>> {
        let alerts = context.sessions().alerts(&context.reading(), context.principal()?, &session_id).await?;
        Ok(alerts.into_iter().map(|alert| SessionHealthAlert::from(Arc::new(alert))).collect())
    }

    /// Who of a session is silent.
    #[graphql(directive = directives::cost::apply(directives::LIST))]
    async fn stale_connections(&self, context: &Context<'_>, session_id: ID) -> Result<StaleConnections> {
        Ok(context.sessions().stale(&context.reading(), context.principal()?, &session_id).await?.into())
    }

    /// Whether the quality of a session is a reason to leave its provider.
    #[graphql(directive = directives::cost::apply(directives::LIST))]
    async fn quality_recovery(&self, context: &Context<'_>, session_id: ID) -> Result<QualityRecovery> {
        Ok(context.sessions().quality(&context.reading(), context.principal()?, &session_id).await?.into())
    }

    /// The company's sessions, newest first. Only for the company's service and admin.
    #[graphql(directive = directives::cost::apply(directives::LIST))]
    async fn sessions(
        &self,
        context: &Context<'_>,
        active: Option<bool>,
        provider: Option<String>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Connection<String, SessionCoordination, EmptyFields, EmptyFields>> {
        let size = page::size("first", first)?;
        let after = after.map(|cursor| SessionPlace::parse("after", &cursor)).transpose()?;
        let (principal, sessions) = (context.principal()?, context.sessions());
        let found = sessions.list(&context.reading(), principal, active, provider, after, size).await?;
        let mut connection = Connection::new(found.behind, found.ahead);
        connection.edges =
            found.items.into_iter().map(|node| Edge::new(SessionPlace::of(&node).cursor(), node.into())).collect();
        Ok(connection)
    }

    /// The company's providers, best first. Only for the company's service and admin.
    #[graphql(
        directive = directives::cost::apply(directives::LIST),
        directive = directives::list_size::apply(MOST_PROVIDERS)
    )]
    async fn session_providers(&self, context: &Context<'_>) -> Result<Vec<SessionProvider>> {
        let providers = context.sessions().providers(&context.reading(), context.principal()?).await?;
        Ok(providers.into_iter().map(SessionProvider::from).collect())
    }
}
