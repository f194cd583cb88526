//! What callers may ask of chats and races, and what they are answered.

use std::sync::Arc;

use async_graphql::{Context, InputObject, Object, SimpleObject, Subscription};
use futures_util::{Stream, StreamExt as _};
use uuid::Uuid;

use super::{
    ChatFeed, ChatFilter, ChatStatus, CustomerRequest, NewChat, NewRace, RaceFeed, StartOutcome,
    objects::{Chat, ChatRace},
};
use crate::{
    chat::{
        graphql::{chats, principal, sources},
        input,
    },
    error::Result,
    event::Cursor,
    graphql::{
        scalars::InternetAddress,
        subscribe::{self, ChangeOperation},
    },
};

/// A chat's properties.
#[derive(Debug, InputObject)]
pub struct ChatInput {
    /// Who asks; 1 to 200 characters.
    customer_name: String,
    /// What it is about; 1 to 2,000 characters. Becomes the first message when the chat starts.
    headline: String,
    /// Whom to ask.
    contract_id: Uuid,
    /// The customer's.
    ip_address: Option<InternetAddress>,
    /// The race to open or to join; the server makes one if absent.
    key: Option<Uuid>,
}

fn request(
    prefix: &str,
    headline: &str,
    customer_name: &str,
    ip_address: Option<InternetAddress>,
) -> Result<CustomerRequest> {
    Ok(CustomerRequest {
        headline: input::headline(&format!("{prefix}headline"), headline)?,
        customer_name: input::name(&format!("{prefix}customerName"), customer_name)?,
        ip_address: ip_address.map(Into::into),
    })
}

/// A chat to create.
#[derive(Debug, InputObject)]
pub struct CreateChatInput {
    /// Its properties.
    chat: ChatInput,
}

/// A chat that was created, or was there.
#[derive(SimpleObject)]
pub struct CreateChatPayload {
    /// The chat.
    chat: Chat,
}

/// A race to create.
#[derive(Debug, InputObject)]
pub struct CreateChatRaceInput {
    /// Who asks; 1 to 200 characters.
    customer_name: String,
    /// What it is about; 1 to 2,000 characters. Becomes the first message when a chat starts.
    headline: String,
    /// The customer's.
    ip_address: Option<InternetAddress>,
    /// Where the customer asks; a visitor's own if absent. The company gives it unless it names contracts.
    website_id: Option<Uuid>,
    /// Whose contracts: this shift's, the present one if absent.
    session: Option<i32>,
    /// These contracts instead of a shift's.
    contract_ids: Option<Vec<Uuid>>,
    /// The race to open or to add to; the server makes one if absent.
    key: Option<Uuid>,
    /// Seconds until unanswered offers are withdrawn, 1 to 86,400; the server's setting if absent.
    expires_in_seconds: Option<i32>,
}

impl CreateChatRaceInput {
    fn checked(self) -> Result<NewRace> {
        Ok(NewRace {
            request: request("", &self.headline, &self.customer_name, self.ip_address)?,
            website_id: self.website_id,
            session: self.session.map(|session| input::session("session", session)).transpose()?,
            contract_ids: self.contract_ids,
            key: self.key,
            expires_in: self
                .expires_in_seconds
                .map(|seconds| input::expires_in("expiresInSeconds", seconds))
                .transpose()?,
        })
    }
}

/// A race that was created, or was there.
#[derive(SimpleObject)]
pub struct CreateChatRacePayload {
    /// The race.
    race: ChatRace,
}

/// A chat to answer.
#[derive(Debug, InputObject)]
pub struct StartChatInput {
    /// The chat.
    chat_id: Uuid,
}

/// What became of an answer.
#[derive(SimpleObject)]
pub struct StartChatPayload {
    /// Whether this call won.
    outcome: StartOutcome,
    /// The chat.
    chat: Chat,
    /// Its race.
    race: ChatRace,
}

/// A chat to end.
#[derive(Debug, InputObject)]
pub struct EndChatInput {
    /// The chat.
    chat_id: Uuid,
}

/// A chat that was ended, or was over.
#[derive(SimpleObject)]
pub struct EndChatPayload {
    /// The chat.
    chat: Chat,
}

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

/// Queries on chats and races.
#[derive(Default)]
pub struct RaceQuery;

#[Object]
impl RaceQuery {
    /// A chat: to a visitor its own, to an agent its contracts'.
    async fn chat(&self, context: &Context<'_>, id: Uuid) -> Result<Option<Chat>> {
        Ok(chats(context).chat(principal(context)?, id).await?.map(Chat::from))
    }

    /// A race: to a visitor its own, to an agent those in which it has a chat.
    async fn chat_race(&self, context: &Context<'_>, key: Uuid) -> Result<Option<ChatRace>> {
        Ok(chats(context).race(principal(context)?, key).await?.map(|race| race.record.into()))
    }
}

/// Mutations of chats and races.
#[derive(Default)]
pub struct RaceMutation;

#[Object]
impl RaceMutation {
    /// Asks one contract's agent. Calls with the same `key` share a race; one chat for each contract of a race, so a
    /// repeat answers the chat that is there. In a race that is decided the chat is born FINISHED.
    async fn create_chat(&self, context: &Context<'_>, input: CreateChatInput) -> Result<CreateChatPayload> {
        let ChatInput { customer_name, headline, contract_id, ip_address, key } = input.chat;
        let request = request("chat.", &headline, &customer_name, ip_address)?;
        let chat = chats(context).create_chat(principal(context)?, NewChat { contract_id, key, request }).await?;
        Ok(CreateChatPayload { chat: chat.into() })
    }

    /// Asks every agent on shift, or those named, at once. Nobody on shift: the race is OFFLINE and has no chats.
    async fn create_chat_race(
        &self,
        context: &Context<'_>,
        input: CreateChatRaceInput,
    ) -> Result<CreateChatRacePayload> {
        let race = chats(context).create_race(principal(context)?, input.checked()?).await?;
        Ok(CreateChatRacePayload { race: race.record.into() })
    }

    /// The agent answers. The first of a race wins; the others learn that they lost.
    async fn start_chat(&self, context: &Context<'_>, input: StartChatInput) -> Result<StartChatPayload> {
        let started = chats(context).start(principal(context)?, input.chat_id).await?;
        Ok(StartChatPayload { outcome: started.outcome, chat: started.chat.into(), race: started.race.into() })
    }

    /// Ends a chat, or takes back an offer: its customer leaves, or its agent declines. A chat that is over already is
    /// answered as it is.
    async fn end_chat(&self, context: &Context<'_>, input: EndChatInput) -> Result<EndChatPayload> {
        Ok(EndChatPayload { chat: chats(context).end(principal(context)?, input.chat_id).await?.into() })
    }
}

/// Streams of chats and races.
#[derive(Default)]
pub struct RaceSubscription;

#[Subscription]
impl RaceSubscription {
    /// The chats that the caller may see and that pass the filter, then every change. Without arguments: an inbox. A
    /// chat that leaves the filter is told as DELETE.
    async fn chat_status<'a>(
        &self,
        context: &Context<'a>,
        chat_id: Option<Uuid>,
        key: Option<Uuid>,
        contract_id: Option<Uuid>,
        status: Option<ChatStatus>,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<ChatEvent>> + use<'a>> {
        let filter = ChatFilter { chat_id, key, contract_id, status };
        let feed = ChatFeed { principal: Arc::clone(principal(context)?), filter };
        let changes = subscribe::subscribe(sources(context), feed, after);
        Ok(changes.map(|change| {
            let subscribe::Change { operation, record, cursor, resync } = change?;
            Ok(ChatEvent { operation, record: record.map(Chat::from), cursor, resync })
        }))
    }

    /// One race, then every change of it.
    async fn chat_race<'a>(
        &self,
        context: &Context<'a>,
        key: Uuid,
        after: Option<Cursor>,
    ) -> Result<impl Stream<Item = Result<ChatRaceEvent>> + use<'a>> {
        let feed = RaceFeed { principal: Arc::clone(principal(context)?), key };
        let changes = subscribe::subscribe(sources(context), feed, after);
        Ok(changes.map(|change| {
            let subscribe::Change { operation, record, cursor, resync } = change?;
            Ok(ChatRaceEvent { operation, record: record.map(ChatRace::from), cursor, resync })
        }))
    }
}
