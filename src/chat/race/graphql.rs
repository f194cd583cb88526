//! What callers may ask of chats and races, and the streams of them. What they may do is in `mutation.rs`.

use std::sync::Arc;

use async_graphql::{
    Context, Object, SimpleObject, Subscription,
    connection::{Connection, EmptyFields},
};
use uuid::Uuid;

use super::{
    ChatFeed, ChatFilter, ChatRecord, ChatSearch, ChatStatus, RaceFeed, RaceRecord,
    objects::{Chat, ChatRace},
};
use crate::{
    chat::graphql::{caller, chats, principal, sources},
    platform::{
        error::Result,
        event::Cursor,
        graphql::{
            page::{self, Place},
            source::{self, SourceRegistered},
        },
        subscription::{self, ChangeOperation},
    },
};

/// A message of a stream of chats.
#[derive(SimpleObject)]
pub struct ChatEvent {
    /// What it says.
    operation: ChangeOperation,
    /// About which; null on READY.
    record: Option<Chat>,
    /// Resumes the stream after this message.
    cursor: Cursor,
    /// True when the state is sent again because changes are missing in between.
    resync: bool,
}

impl From<subscription::Change<Arc<ChatRecord>>> for ChatEvent {
    fn from(change: subscription::Change<Arc<ChatRecord>>) -> Self {
        let subscription::Change { operation, record, cursor, resync, .. } = change;
        Self { operation, record: record.map(Chat::from), cursor, resync }
    }
}

/// A message of a stream of one race.
#[derive(SimpleObject)]
pub struct ChatRaceEvent {
    /// What it says.
    operation: ChangeOperation,
    /// The race; null on READY.
    record: Option<ChatRace>,
    /// Resumes the stream after this message.
    cursor: Cursor,
    /// True when the state is sent again because changes are missing in between.
    resync: bool,
}

impl From<subscription::Change<Arc<RaceRecord>>> for ChatRaceEvent {
    fn from(change: subscription::Change<Arc<RaceRecord>>) -> Self {
        let subscription::Change { operation, record, cursor, resync, .. } = change;
        Self { operation, record: record.map(ChatRace::from), cursor, resync }
    }
}

/// Queries on chats and races.
#[derive(Default)]
pub struct RaceQuery;

#[Object]
impl RaceQuery {
    /// A chat: to a visitor its own, to an agent its contracts'; to a caller without a token the one whose id it knows.
    async fn chat(&self, context: &Context<'_>, id: Uuid) -> Result<Option<Chat>> {
        Ok(chats(context).chat_of_caller(caller(context), id).await?.map(|(_, chat)| Chat::from(chat)))
    }

    /// The chats that the caller may see and that pass, newest first.
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
        let found = chats(context).list(principal(context)?, &search, after, size).await?;
        Ok(found.into_connection(|chat| Place { at: chat.inserted_at, id: chat.id }, Chat::from))
    }

    /// A race: to a visitor its own, to an agent those in which it has a chat.
    async fn chat_race(&self, context: &Context<'_>, key: Uuid) -> Result<Option<ChatRace>> {
        Ok(chats(context).race(principal(context)?, key).await?.map(|race| race.record.into()))
    }
}

/// Streams of chats and races.
#[derive(Default)]
pub struct RaceSubscription;

#[Subscription]
impl RaceSubscription {
    /// The chats that the caller may see and that pass the filter, then every change. Without arguments: an inbox. A
    /// chat that leaves the filter is told as DELETE.
    async fn chat_status(
        &self,
        context: &Context<'_>,
        chat_id: Option<Uuid>,
        key: Option<Uuid>,
        contract_id: Option<Uuid>,
        status: Option<ChatStatus>,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<ChatEvent>> {
        let filter = ChatFilter { chat_id, key, contract_id, status };
        let feed = ChatFeed { reader: Arc::clone(principal(context)?).into(), filter };
        let changes = subscription::subscribe(sources(context), feed, after);
        Ok(source::shared(context, changes))
    }

    /// One race, then every change of it.
    async fn chat_race(
        &self,
        context: &Context<'_>,
        key: Uuid,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<ChatRaceEvent>> {
        let feed = RaceFeed { principal: Arc::clone(principal(context)?), key };
        let changes = subscription::subscribe(sources(context), feed, after);
        Ok(source::shared(context, changes))
    }
}
