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
use super::{ChatRecord, Chats, rights::Viewer, widget::Proofs};
use crate::{
    operation::Operations,
    platform::{
        auth::{Caller, Principal},
        error::{Error, Result},
        graphql::context::ContextExt as _,
        subscription::bookmark::{Bookmark, BookmarkKey},
    },
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

    /// The chat and as whom the caller reads it, as [`Chats::chat_of_caller`]. Its socket has named it from then on.
    fn chat_of_caller(&self, id: Uuid) -> impl Future<Output = Result<Option<(Viewer, ChatRecord)>>> + Send;

    /// As `chat_of_caller`, for what cannot do without the chat.
    fn viewer_of_chat(&self, id: Uuid) -> impl Future<Output = Result<Viewer>> + Send;

    /// As whom the caller acts in a chat; see [`Chats::customer_of_chat`].
    fn customer_of_chat(&self, id: Uuid) -> impl Future<Output = Result<Arc<Principal>>> + Send;

    /// What the caller has proved on its socket.
    fn proofs(&self) -> Arc<Proofs>;

    /// The place of a stream of changes that the caller opens, perhaps again. `stream` says which, with its arguments.
    fn bookmark(&self, company_id: Uuid, stream: &str) -> impl Future<Output = Result<Arc<Bookmark>>> + Send;

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

    async fn chat_of_caller(&self, id: Uuid) -> Result<Option<(Viewer, ChatRecord)>> {
        let (caller, visit) = (self.caller(), self.visit());
        let found = Box::pin(self.chats().chat_of_caller(caller, self.client_address(), &visit, id)).await?;
        if let (Some((_, chat)), Some(_)) = (&found, self.socket_operation()) {
            self.proofs().name(chat);
        }
        Ok(found)
    }

    async fn viewer_of_chat(&self, id: Uuid) -> Result<Viewer> {
        let found = self.chat_of_caller(id).await?;
        found.map(|(viewer, _)| viewer).ok_or_else(|| Error::not_found("chat"))
    }

    async fn customer_of_chat(&self, id: Uuid) -> Result<Arc<Principal>> {
        let (caller, visit) = (self.caller(), self.visit());
        Box::pin(self.chats().customer_of_chat(caller, self.client_address(), &visit, id)).await
    }

    fn proofs(&self) -> Arc<Proofs> {
        self.socket_operation().map(|operation| operation.session.shared()).unwrap_or_default()
    }

    async fn bookmark(&self, company_id: Uuid, stream: &str) -> Result<Arc<Bookmark>> {
        let operation = self.socket_operation();
        // Another caller that learned the id gets a place of its own.
        let caller = match self.caller() {
            Caller::Known(principal) => format!("{:?} {}", principal.role, principal.subject),
            _ => String::new(),
        };
        let key =
            BookmarkKey::new(company_id, operation.map(|operation| &*operation.id), &format!("{stream} {caller}"));
        let bookmark = Box::pin(self.bookmarks().open(key)).await?;
        if let Some(operation) = operation {
            operation.session.mark(&operation.id, Arc::clone(&bookmark));
        }
        Ok(bookmark)
    }

    fn viewer(&self, company_id: Uuid) -> Result<Viewer> {
        match self.caller() {
            Caller::Anonymous => Ok(Viewer::Public { company_id }),
            caller => Ok(Viewer::Known(Arc::clone(caller.principal()?))),
        }
    }
}
