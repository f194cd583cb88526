//! Subscriptions to chats and races.

use std::sync::Arc;

use async_graphql::{Context, Subscription};
use uuid::Uuid;

use super::objects::{Chat, ChatRace};
use crate::{
    chat::{ChatFeed, ChatFilter, RaceFeed, rules::ChatStatus},
    platform::{
        error::Result,
        event::Cursor,
        graphql::{
            context::ContextExt as _,
            source::{self, SourceRegistered},
            stream_event::StreamEvent,
        },
    },
};

/// Subscriptions to chats and races.
#[derive(Default)]
pub struct RaceSubscription;

#[Subscription]
impl RaceSubscription {
    /// The chats that the caller may see and that match the arguments, then every change of them. Without arguments it
    /// is an inbox. A chat that stops matching is sent as DELETE. With `after`: the changes since that cursor instead
    /// of the present state.
    async fn chat_status(
        &self,
        context: &Context<'_>,
        chat_id: Option<Uuid>,
        key: Option<Uuid>,
        contract_id: Option<Uuid>,
        status: Option<ChatStatus>,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<StreamEvent<Chat>>> {
        let filter = ChatFilter { chat_id, key, contract_id, status };
        let feed = ChatFeed { viewer: Arc::clone(context.principal()?).into(), filter };
        Ok(source::events(context, feed, after))
    }

    /// One race as it is, then every change of it. With `after`: the changes since that cursor instead of the present
    /// state.
    async fn chat_race(
        &self,
        context: &Context<'_>,
        key: Uuid,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<StreamEvent<ChatRace>>> {
        let feed = RaceFeed { principal: Arc::clone(context.principal()?), key };
        Ok(source::events(context, feed, after))
    }
}
