//! Providers in the API.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::SessionContextExt as _;
use crate::{
    platform::{
        error::Result,
        graphql::{context::ContextExt as _, directives},
    },
    session::{ProviderRecord, rules::ProviderState},
};

/// Most providers of a company, for the cost of a list.
pub(super) const MOST_PROVIDERS: i32 = 100;

/// The object `SessionProvider` of the schema.
#[derive(Debug, Clone)]
pub struct SessionProvider(Arc<ProviderRecord>);

impl From<ProviderRecord> for SessionProvider {
    fn from(record: ProviderRecord) -> Self {
        Self(Arc::new(record))
    }
}

impl From<Arc<ProviderRecord>> for SessionProvider {
    fn from(record: Arc<ProviderRecord>) -> Self {
        Self(record)
    }
}

/// A provider of the company, and how it does in all of its sessions.
#[Object]
impl SessionProvider {
    /// The same as `name`.
    async fn id(&self) -> ID {
        ID(self.0.name.clone())
    }

    /// The provider, as clients name it.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// Order of preference, from 1.
    async fn rank(&self) -> i32 {
        self.0.rank
    }

    /// Whether sessions may choose it.
    async fn state(&self) -> ProviderState {
        self.0.state
    }

    /// 0 to 100: a session's first success raises it by 5, a failure lowers it by 15.
    async fn score(&self) -> f64 {
        self.0.score
    }

    /// Open sessions that are on it now.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn sessions(&self, context: &Context<'_>) -> Result<i32> {
        let counts = context.sessions().provider_counts(context.principal()?, &self.0.name);
        Ok(Box::pin(counts).await?.0)
    }

    /// How often sessions left it in the last hour.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn failures(&self, context: &Context<'_>) -> Result<i32> {
        let counts = context.sessions().provider_counts(context.principal()?, &self.0.name);
        Ok(Box::pin(counts).await?.1)
    }

    /// Raised with state, rank, or 10 points of the score.
    async fn version(&self) -> i32 {
        self.0.version
    }
}

/// A provider in the list of `setSessionProviders`.
#[derive(Debug, InputObject)]
pub struct SessionProviderInput {
    /// 1 to 64 of a-z, 0-9, - and _; not `none`.
    name: String,
    /// False: DISABLED.
    enabled: bool,
}

/// The input of `setSessionProviders`.
#[derive(Debug, InputObject)]
pub struct SetSessionProvidersInput {
    /// 1 to 100 providers in order of preference. Unlisted ones become DISABLED.
    providers: Vec<SessionProviderInput>,
}

/// The result of `setSessionProviders`.
#[derive(Debug, SimpleObject)]
pub struct SetSessionProvidersPayload {
    /// All providers of the company after the call, best first.
    #[graphql(directive = directives::list_size::apply(MOST_PROVIDERS))]
    providers: Vec<SessionProvider>,
}

/// Mutations of providers.
#[derive(Default)]
pub struct ProviderMutation;

#[Object]
impl ProviderMutation {
    /// Sets the company's providers. Sessions stay on a provider that becomes DISABLED.
    async fn set_session_providers(
        &self,
        context: &Context<'_>,
        input: SetSessionProvidersInput,
    ) -> Result<SetSessionProvidersPayload> {
        let (names, enabled): (Vec<_>, Vec<_>) =
            input.providers.into_iter().map(|provider| (provider.name, provider.enabled)).unzip();
        let providers =
            context.sessions().set_providers(&context.reading(), context.principal()?, names, enabled).await?;
        Ok(SetSessionProvidersPayload { providers: providers.into_iter().map(SessionProvider::from).collect() })
    }
}
