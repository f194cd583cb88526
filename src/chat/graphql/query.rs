//! Queries on chats and races.

use async_graphql::{
    Context, Object,
    connection::{Connection, EmptyFields},
};
use uuid::Uuid;

use super::{
    ChatContextExt as _,
    objects::{Chat, ChatRace},
};
use crate::{
    chat::{ChatSearch, rules::ChatStatus},
    platform::{
        error::Result,
        graphql::{
            context::ContextExt as _,
            directives,
            page::{self, Place},
        },
    },
};

/// Queries on chats and races.
#[derive(Default)]
pub struct RaceQuery;

#[Object]
impl RaceQuery {
    /// One chat. A visitor sees its own chats, an agent those of its contracts; a caller without a token must know the
    /// id.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn chat(&self, context: &Context<'_>, id: Uuid) -> Result<Option<Chat>> {
        Ok(context.chat_of_caller(id).await?.map(|(_, chat)| Chat::from(chat)))
    }

    /// The chats that the caller may see and that match the arguments, newest first.
    #[graphql(directive = directives::cost::apply(directives::LIST))]
    async fn chats(
        &self,
        context: &Context<'_>,
        status: Option<Vec<ChatStatus>>,
        contract_id: Option<Uuid>,
        website_id: Option<Uuid>,
        first: Option<i32>,
        after: Option<String>,
    ) -> Result<Connection<String, Chat, EmptyFields, EmptyFields>> {
        let size = page::size("first", first)?;
        let after = after.map(|cursor| Place::parse("after", &cursor)).transpose()?;
        let search = ChatSearch { statuses: status, contract_id, website_id };
        let found = context.chats().list(&context.reading(), context.principal()?, search, after, size).await?;
        Ok(found.into_connection(|chat| Place { at: chat.inserted_at, id: chat.id }, Chat::from))
    }

    /// One race. A visitor sees its own races, an agent those in which it has a chat.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn chat_race(&self, context: &Context<'_>, key: Uuid) -> Result<Option<ChatRace>> {
        Ok(context.chats().race(context.principal()?, key).await?.map(|race| race.record.into()))
    }
}
