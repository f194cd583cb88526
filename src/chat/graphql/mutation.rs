//! What may be done to chats and races in the API.

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use uuid::Uuid;

use super::{
    ChatContextExt as _,
    objects::{Chat, ChatRace},
};
use crate::{
    chat::{
        self, CustomerRequest, NewChat, NewRace,
        rules::{CancelOutcome, ChatStatus, StartOutcome},
    },
    platform::{
        error::Result,
        graphql::{context::ContextExt as _, scalars::InternetAddress},
        input,
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
    /// The customer's; the connection's if absent.
    ip_address: Option<InternetAddress>,
    /// The race to open or to join; the server makes one if absent.
    key: Option<Uuid>,
}

fn request(
    context: &Context<'_>,
    prefix: &str,
    headline: &str,
    customer_name: &str,
    ip_address: Option<InternetAddress>,
) -> Result<CustomerRequest> {
    let created_from = context.client_address();
    Ok(CustomerRequest {
        headline: input::headline(&format!("{prefix}headline"), headline)?,
        customer_name: input::name(&format!("{prefix}customerName"), customer_name)?,
        ip_address: ip_address.map(Into::into).or(created_from),
        created_from,
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
    /// The customer's; the connection's if absent.
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
    fn checked(self, context: &Context<'_>) -> Result<NewRace> {
        Ok(NewRace {
            request: request(context, "", &self.headline, &self.customer_name, self.ip_address)?,
            website_id: self.website_id,
            shift: self.session.map(|shift| input::shift("session", shift)).transpose()?,
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

/// A race to cancel.
#[derive(Debug, InputObject)]
pub struct CancelChatRaceInput {
    /// The race.
    key: Uuid,
}

/// What became of a cancel.
#[derive(SimpleObject)]
pub struct CancelChatRacePayload {
    /// Whether this call canceled it.
    outcome: CancelOutcome,
    /// The race.
    race: ChatRace,
}

/// What to change of a chat; absent keeps, and nothing here can be cleared.
#[derive(Debug, InputObject)]
pub struct ChatPatch {
    /// STARTED: the agent answers. FINISHED: ends the chat, or takes back the offer.
    status: MaybeUndefined<ChatStatus>,
    /// True: flags the chat missed if its time has passed.
    missed: MaybeUndefined<bool>,
    /// What it is about; 1 to 2,000 characters.
    headline: MaybeUndefined<String>,
    /// Who asks; 1 to 200 characters.
    customer_name: MaybeUndefined<String>,
}

impl ChatPatch {
    fn checked(self) -> Result<chat::ChatPatch> {
        let headline = input::kept("patch.headline", self.headline)?;
        let customer_name = input::kept("patch.customerName", self.customer_name)?;
        Ok(chat::ChatPatch {
            status: input::kept("patch.status", self.status)?,
            missed: input::kept("patch.missed", self.missed)?,
            headline: headline.map(|text| input::headline("patch.headline", &text)).transpose()?,
            customer_name: customer_name.map(|name| input::name("patch.customerName", &name)).transpose()?,
        })
    }
}

/// A chat to change.
#[derive(Debug, InputObject)]
pub struct UpdateChatInput {
    /// The chat.
    id: Uuid,
    /// What to change.
    patch: ChatPatch,
}

/// A chat that was changed, or is as it was.
#[derive(SimpleObject)]
pub struct UpdateChatPayload {
    /// The chat.
    chat: Chat,
}

/// A chat that may have been missed.
#[derive(Debug, InputObject)]
pub struct UpdateChatMissedInput {
    /// The chat.
    chat_id: Uuid,
}

/// A rating.
#[derive(Debug, InputObject)]
pub struct RateInput {
    /// Which chat.
    chat_id: Uuid,
    /// 1 to 5.
    rating: i32,
}

/// A rating to write.
#[derive(Debug, InputObject)]
pub struct CreateRateInput {
    /// Its properties.
    rate: RateInput,
}

/// The customer's rating of a chat; one for each chat.
#[derive(Debug, SimpleObject)]
pub struct Rate {
    /// The chat's: it has one rating, whatever it is changed to.
    id: Uuid,
    /// Which chat.
    chat_id: Uuid,
    /// 1 to 5.
    rating: i32,
}

/// A rating that was written.
#[derive(Debug, SimpleObject)]
pub struct CreateRatePayload {
    /// The rating.
    rate: Rate,
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
        let request = request(context, "chat.", &headline, &customer_name, ip_address)?;
        let chat = context.chats().create_chat(context.principal()?, NewChat { contract_id, key, request }).await?;
        Ok(CreateChatPayload { chat: chat.into() })
    }

    /// Asks every agent on shift, or those named, at once. Nobody on shift: the race is OFFLINE and has no chats.
    async fn create_chat_race(
        &self,
        context: &Context<'_>,
        input: CreateChatRaceInput,
    ) -> Result<CreateChatRacePayload> {
        let race = context.chats().create_race(context.principal()?, input.checked(context)?).await?;
        Ok(CreateChatRacePayload { race: race.record.into() })
    }

    /// The agent answers. The first of a race wins; the others learn that they lost.
    async fn start_chat(&self, context: &Context<'_>, input: StartChatInput) -> Result<StartChatPayload> {
        let started = context.chats().start(context.principal()?, input.chat_id).await?;
        Ok(StartChatPayload { outcome: started.outcome, chat: started.chat.into(), race: started.race.into() })
    }

    /// Ends a chat, or takes back an offer: its customer leaves, or its agent declines. A chat that is over already is
    /// answered as it is.
    async fn end_chat(&self, context: &Context<'_>, input: EndChatInput) -> Result<EndChatPayload> {
        Ok(EndChatPayload { chat: context.chats().end(context.principal()?, input.chat_id).await?.into() })
    }

    /// The customer leaves: every offer is withdrawn. Once an agent has answered this changes nothing.
    async fn cancel_chat_race(
        &self,
        context: &Context<'_>,
        input: CancelChatRaceInput,
    ) -> Result<CancelChatRacePayload> {
        let (outcome, race) = context.chats().cancel_race(context.principal()?, input.key).await?;
        Ok(CancelChatRacePayload { outcome, race: race.record.into() })
    }

    /// Changes a chat, whole or not at all: STARTED is `startChat`, and CONFLICT if it loses; FINISHED is `endChat`;
    /// `missed: true` flags a chat whose time has passed and changes nothing before, `false` changes nothing. The
    /// headline and the customer's name may change until an agent has answered.
    async fn update_chat(&self, context: &Context<'_>, input: UpdateChatInput) -> Result<UpdateChatPayload> {
        let chat = context.chats().update_chat(context.principal()?, input.id, input.patch.checked()?).await?;
        Ok(UpdateChatPayload { chat: chat.into() })
    }

    /// As `updateChat` with `missed: true`.
    async fn update_chat_missed(
        &self,
        context: &Context<'_>,
        input: UpdateChatMissedInput,
    ) -> Result<UpdateChatPayload> {
        let patch = chat::ChatPatch { missed: Some(true), ..chat::ChatPatch::default() };
        let chat = context.chats().update_chat(context.principal()?, input.chat_id, patch).await?;
        Ok(UpdateChatPayload { chat: chat.into() })
    }

    /// The customer rates a chat that was held. A second rating replaces the first.
    async fn create_rate(&self, context: &Context<'_>, input: CreateRateInput) -> Result<CreateRatePayload> {
        let RateInput { chat_id, rating } = input.rate;
        let rating = input::rating("rate.rating", rating)?;
        let chat = context.chats().rate(context.principal()?, chat_id, rating).await?;
        Ok(CreateRatePayload { rate: Rate { id: chat.id, chat_id: chat.id, rating: chat.rating.unwrap_or(rating) } })
    }
}
