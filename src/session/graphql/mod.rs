//! The session part of the schema, and what its resolvers find in the context.

pub mod health;
pub mod mutation;
pub mod objects;
pub mod provider;
pub mod query;
pub mod subscription;

use async_graphql::{Context, MergedObject};

pub use self::subscription::SessionSubscription;
use self::{
    health::HealthMutation, mutation::CoordinationMutation, provider::ProviderMutation, query::CoordinationQuery,
};
use super::Sessions;

/// Queries on sessions.
#[derive(Default, MergedObject)]
pub struct SessionQuery(CoordinationQuery);

/// Mutations of sessions and providers.
#[derive(Default, MergedObject)]
pub struct SessionMutation(CoordinationMutation, HealthMutation, ProviderMutation);

/// What the resolvers of this concept read from the context.
trait SessionContextExt<'a> {
    /// The verbs and reads of the concept.
    fn sessions(&self) -> &'a Sessions;
}

impl<'a> SessionContextExt<'a> for Context<'a> {
    fn sessions(&self) -> &'a Sessions {
        self.data_unchecked()
    }
}
