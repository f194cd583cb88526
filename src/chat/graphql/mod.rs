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
use crate::platform::{auth::Caller, error::Result, graphql::context::ContextExt as _};

/// Queries on chats, races, contracts and websites.
#[derive(Default, MergedObject)]
pub struct ChatQuery(WebsiteQuery, ContractQuery, RaceQuery, MessageQuery);

/// Mutations of chats, races, contracts and websites.
#[derive(Default, MergedObject)]
pub struct ChatMutation(WebsiteMutation, RaceMutation, MessageMutation, ContractMutation);

/// Streams of chats, races and contracts.
#[derive(Default, MergedSubscription)]
pub struct ChatSubscription(RaceSubscription, MessageSubscription, ContractSubscription, WidgetSubscription);

/// Accessors of the chat part.
trait ChatContextExt<'a> {
    /// The service.
    fn chats(&self) -> &'a Chats;

    /// As whom the caller reads what hangs on a record of this company that it was shown.
    fn viewer(&self, company_id: Uuid) -> Result<Viewer>;
}

impl<'a> ChatContextExt<'a> for Context<'a> {
    fn chats(&self) -> &'a Chats {
        self.data_unchecked()
    }

    fn viewer(&self, company_id: Uuid) -> Result<Viewer> {
        match self.caller() {
            Caller::Anonymous => Ok(Viewer::Public { company_id }),
            caller => Ok(Viewer::Known(Arc::clone(caller.principal()?))),
        }
    }
}
