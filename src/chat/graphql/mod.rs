//! The chat part of the schema, and what its resolvers find in the context.

pub mod contract;
pub mod message;
pub mod mutation;
pub mod objects;
pub mod query;
pub mod subscription;
pub mod website;
pub mod widget;

use std::sync::Arc;

use async_graphql::{Context, MergedObject, MergedSubscription};
use uuid::Uuid;

use self::{
    contract::{ContractMutation, ContractQuery, ContractSubscription},
    message::{MessageMutation, MessageQuery, MessageSubscription},
    mutation::RaceMutation,
    query::RaceQuery,
    subscription::RaceSubscription,
    website::{WebsiteMutation, WebsiteQuery},
    widget::WidgetSubscription,
};
use super::{Chats, rights::Viewer};
use crate::{
    operation::Operations,
    platform::{auth::Caller, error::Result, graphql::context::ContextExt as _},
};

/// Queries on chats, races, contracts and websites.
#[derive(Default, MergedObject)]
pub struct ChatQuery(WebsiteQuery, ContractQuery, RaceQuery, MessageQuery);

/// Mutations of chats, races, contracts and websites.
#[derive(Default, MergedObject)]
pub struct ChatMutation(WebsiteMutation, RaceMutation, MessageMutation, ContractMutation);

/// Subscriptions to chats, races, messages and contracts.
#[derive(Default, MergedSubscription)]
pub struct ChatSubscription(RaceSubscription, MessageSubscription, ContractSubscription, WidgetSubscription);

/// What the resolvers of this concept read from the context.
trait ChatContextExt<'a> {
    /// The verbs and reads of the concept.
    fn chats(&self) -> &'a Chats;

    /// The lines before chats, which calls that start or end one pass.
    fn operations(&self) -> &'a Operations;

    /// The viewer for what belongs to a record of this company that the caller was already shown.
    fn viewer(&self, company_id: Uuid) -> Result<Viewer>;
}

impl<'a> ChatContextExt<'a> for Context<'a> {
    fn chats(&self) -> &'a Chats {
        self.data_unchecked()
    }

    fn operations(&self) -> &'a Operations {
        self.data_unchecked()
    }

    fn viewer(&self, company_id: Uuid) -> Result<Viewer> {
        match self.caller() {
            Caller::Anonymous => Ok(Viewer::Public { company_id }),
            caller => Ok(Viewer::Known(Arc::clone(caller.principal()?))),
        }
    }
}
