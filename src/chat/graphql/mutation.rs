//! The mutations of chats and races in the API.

use std::sync::Arc;

use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use uuid::Uuid;

use super::{
    ChatContextExt as _,
    objects::{Chat, ChatRace},
};
use crate::{
    chat::{
        self, CustomerRequest, NewChat, NewRace,
        rights::{self, Action},
        rules::{CancelOutcome, ChatStatus, StartOutcome},
    },
    operation::{graphql::ChatCallGrantInput, rules::CallType},
    platform::{
        auth::{Caller, Credential, Principal},
        error::{Error, Result},
        graphql::{context::ContextExt as _, scalars::InternetAddress},
        input,
    },
};

/// The properties of a chat to create.
#[derive(Debug, InputObject)]
pub struct ChatInput {
    /// The customer's name; 1 to 200 characters.
    customer_name: String,
    /// The customer's request; 1 to 2,000 characters. It becomes the first message when the chat starts.
    headline: String,
    /// The contract to offer the chat to.
    contract_id: Uuid,
    /// The customer's address; default: the address of the connection.
    ip_address: Option<InternetAddress>,
    /// The key of the race to open or to join; default: a new key.
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
    /// The chat to create.
    chat: ChatInput,
}

/// The result of `createChat`.
#[derive(SimpleObject)]
pub struct CreateChatPayload {
    /// The new chat, or the existing chat of this key and contract.
    chat: Chat,
}

/// The properties of a race to create.
#[derive(Debug, InputObject)]
pub struct CreateChatRaceInput {
    /// The customer's name; 1 to 200 characters.
    customer_name: String,
    /// The customer's request; 1 to 2,000 characters. It becomes the first message when a chat starts.
    headline: String,
    /// The customer's address; default: the address of the connection.
    ip_address: Option<InternetAddress>,
    /// The website that the customer is on; default: the visitor's own. Required of the company unless `contractIds` is
    /// given.
    website_id: Option<Uuid>,
    /// Offer to the active contracts of this shift, 1 to 3; default: the present shift.
    session: Option<i32>,
    /// Offer to these contracts instead of a shift's.
    contract_ids: Option<Vec<Uuid>>,
    /// The key of the race to open or to add to; default: a new key.
    key: Option<Uuid>,
    /// Seconds until the offers expire, 1 to 86,400; default: the server's setting.
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

/// The result of `createChatRace`.
#[derive(SimpleObject)]
pub struct CreateChatRacePayload {
    /// The new race, or the existing race of this key with the offers that were added.
    race: ChatRace,
}

/// Names the chat to start.
#[derive(Debug, InputObject)]
pub struct StartChatInput {
    /// A chat that is offered to the calling agent.
    chat_id: Uuid,
    /// Of a caller that already holds the chat's coordination.
    grant: Option<ChatCallGrantInput>,
}

/// The result of `startChat`.
#[derive(SimpleObject)]
pub struct StartChatPayload {
    /// Whether this agent holds the chat now.
    outcome: StartOutcome,
    /// The chat after the call.
    chat: Chat,
    /// The chat's race after the call.
    race: ChatRace,
}

/// Names the chat to end.
#[derive(Debug, InputObject)]
pub struct EndChatInput {
    /// A started chat, or an offer to withdraw or decline.
    chat_id: Uuid,
    /// Of a caller that already holds the chat's coordination.
    grant: Option<ChatCallGrantInput>,
}

/// The result of `endChat`.
#[derive(SimpleObject)]
pub struct EndChatPayload {
    /// The chat, now FINISHED; unchanged if it was FINISHED before.
    chat: Chat,
}

/// Names the race to cancel.
#[derive(Debug, InputObject)]
pub struct CancelChatRaceInput {
    /// The race's key.
    key: Uuid,
}

/// The result of `cancelChatRace`.
#[derive(SimpleObject)]
pub struct CancelChatRacePayload {
    /// Whether this call canceled the race.
    outcome: CancelOutcome,
    /// The race after the call.
    race: ChatRace,
}

/// The fields of a chat to change. An absent field keeps its value; no field can be cleared.
#[derive(Debug, InputObject)]
pub struct ChatPatch {
    /// STARTED starts the chat as `startChat` does, FINISHED ends it as `endChat` does.
    status: MaybeUndefined<ChatStatus>,
    /// True flags the chat missed if `missAt` has passed. False changes nothing.
    missed: MaybeUndefined<bool>,
    /// The customer's request; 1 to 2,000 characters.
    headline: MaybeUndefined<String>,
    /// The customer's name; 1 to 200 characters.
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

/// Names a chat and what to change of it.
#[derive(Debug, InputObject)]
pub struct UpdateChatInput {
    /// The chat to change.
    id: Uuid,
    /// The fields to change: all of them, or none if one is refused.
    patch: ChatPatch,
    /// Of a caller that already holds the chat's coordination; only with a status.
    grant: Option<ChatCallGrantInput>,
}

/// The result of `updateChat` and `updateChatMissed`.
#[derive(SimpleObject)]
pub struct UpdateChatPayload {
    /// The chat after the call.
    chat: Chat,
}

/// Names a chat that may have been missed.
#[derive(Debug, InputObject)]
pub struct UpdateChatMissedInput {
    /// The chat to flag.
    chat_id: Uuid,
}

/// A rating of a chat.
#[derive(Debug, InputObject)]
pub struct RateInput {
    /// A chat that was started.
    chat_id: Uuid,
    /// From 1 to 5.
    rating: i32,
}

/// The input of `createRate`.
#[derive(Debug, InputObject)]
pub struct CreateRateInput {
    /// The rating to write.
    rate: RateInput,
}

/// The customer's rating of a chat. A chat has at most one.
#[derive(Debug, SimpleObject)]
pub struct Rate {
    /// The chat's id: a later rating replaces this one.
    id: Uuid,
    /// The chat that was rated.
    chat_id: Uuid,
    /// From 1 to 5.
    rating: i32,
}

/// The result of `createRate`.
#[derive(Debug, SimpleObject)]
pub struct CreateRatePayload {
    /// The rating as it is stored now.
    rate: Rate,
}

/// The customer who asks for a chat of this contract: with a token as itself; with nothing but the key of a browser as the
/// visitor that the key stands for on the contract's website.
async fn asking(context: &Context<'_>, contract_id: Uuid) -> Result<Arc<Principal>> {
    let visit = context.visit();
    let (caller, chats) = (context.caller(), context.chats());
    let has_token = matches!(caller, Caller::Known(principal) if principal.credential != Credential::VisitorKey
        && principal.credential != Credential::Development);
    match visit.key {
        Some(key) if !has_token && !matches!(caller, Caller::Refused(_) | Caller::Unavailable(_)) => {
            chats.allow_widget(caller)?;
            let (company_id, website_id) = Box::pin(chats.website_of_contract(contract_id)).await?;
            chats.admit_page(&visit, company_id, website_id).await?;
            Ok(Arc::new(chats.visitor_of_key(key, company_id, website_id).await?))
        }
        _ => Ok(Arc::clone(context.principal()?)),
    }
}

/// Mutations of chats and races.
#[derive(Default)]
pub struct RaceMutation;

#[Object]
impl RaceMutation {
    /// Offers a chat to one contract's agent. Calls with the same `key` share one race. A race has one chat for each
    /// contract, so a repeat returns the existing chat. In a decided race the new chat is FINISHED from the start.
    async fn create_chat(&self, context: &Context<'_>, input: CreateChatInput) -> Result<CreateChatPayload> {
        let ChatInput { customer_name, headline, contract_id, ip_address, key } = input.chat;
        let request = request(context, "chat.", &headline, &customer_name, ip_address)?;
        let customer = asking(context, contract_id).await?;
        let chat = context.chats().create_chat(&customer, NewChat { contract_id, key, request }).await?;
        Ok(CreateChatPayload { chat: chat.into() })
    }

    /// Offers a chat to every agent on shift at once, or to the contracts that are named. If nobody is on shift, the
    /// race is OFFLINE and has no chats.
    async fn create_chat_race(
        &self,
        context: &Context<'_>,
        input: CreateChatRaceInput,
    ) -> Result<CreateChatRacePayload> {
        let race = context.chats().create_race(context.principal()?, input.checked(context)?).await?;
        Ok(CreateChatRacePayload { race: race.record.into() })
    }

    /// Starts a chat as its agent. The first agent of a race wins; for the others the outcome is ``LOST_RACE``.
    async fn start_chat(&self, context: &Context<'_>, input: StartChatInput) -> Result<StartChatPayload> {
        let (chats, principal, id) = (context.chats(), context.principal()?, input.chat_id);
        rights::may(principal, Action::StartChat)?;
        let grant = input.grant.map(Into::into);
        let run = |pass| chats.start_with(principal, id, pass);
        let turn = context.operations().in_turn(principal, id, CallType::StartChat, grant, run);
        let started = Box::pin(turn).await?;
        Ok(StartChatPayload { outcome: started.outcome, chat: started.chat.into(), race: started.race.into() })
    }

    /// Ends a started chat, or withdraws an offer: the customer leaves, or the agent declines. A chat that is FINISHED
    /// is returned unchanged.
    async fn end_chat(&self, context: &Context<'_>, input: EndChatInput) -> Result<EndChatPayload> {
        let (chats, id) = (context.chats(), input.chat_id);
        let principal = &context.customer_of_chat(id).await?;
        let grant = input.grant.map(Into::into);
        let run = |pass| chats.end_with(principal, id, pass);
        let turn = context.operations().in_turn(principal, id, CallType::EndChat, grant, run);
        Ok(EndChatPayload { chat: Box::pin(turn).await?.into() })
    }

    /// Withdraws every offer of a race because the customer leaves. After an agent has started a chat this changes
    /// nothing.
    async fn cancel_chat_race(
        &self,
        context: &Context<'_>,
        input: CancelChatRaceInput,
    ) -> Result<CancelChatRacePayload> {
        let (outcome, race) = context.chats().cancel_race(context.principal()?, input.key).await?;
        Ok(CancelChatRacePayload { outcome, race: race.record.into() })
    }

    /// Changes a chat: all of the fields, or none. STARTED follows `startChat`, with CONFLICT if the chat loses;
    /// FINISHED follows `endChat`. `missed: true` flags a chat whose `missAt` has passed, and changes nothing before.
    /// Headline and customer name may change until an agent has started the chat.
    async fn update_chat(&self, context: &Context<'_>, input: UpdateChatInput) -> Result<UpdateChatPayload> {
        let (chats, id, patch) = (context.chats(), input.id, input.patch.checked()?);
        // Without a token a widget may end the chat and change nothing else.
        let is_end = chat::ChatPatch { status: Some(ChatStatus::Finished), ..chat::ChatPatch::default() } == patch;
        let principal = &if is_end { context.customer_of_chat(id).await? } else { Arc::clone(context.principal()?) };
        let chat = match patch.status.and_then(chat::line_of) {
            None if input.grant.is_some() => {
                return Err(Error::invalid("grant", "only with a patch to STARTED or FINISHED"));
            }
            None => chats.update_chat(principal, id, patch, None).await?,
            Some(call_type) => {
                let grant = input.grant.map(Into::into);
                let run = |pass| chats.update_chat(principal, id, patch.clone(), Some(pass));
                Box::pin(context.operations().in_turn(principal, id, call_type, grant, run)).await?
            }
        };
        Ok(UpdateChatPayload { chat: chat.into() })
    }

    /// The same as `updateChat` with `missed: true`.
    async fn update_chat_missed(
        &self,
        context: &Context<'_>,
        input: UpdateChatMissedInput,
    ) -> Result<UpdateChatPayload> {
        let patch = chat::ChatPatch { missed: Some(true), ..chat::ChatPatch::default() };
        let chat = context.chats().update_chat(context.principal()?, input.chat_id, patch, None).await?;
        Ok(UpdateChatPayload { chat: chat.into() })
    }

    /// Rates a chat that was started, as its customer. A second rating replaces the first.
    async fn create_rate(&self, context: &Context<'_>, input: CreateRateInput) -> Result<CreateRatePayload> {
        let RateInput { chat_id, rating } = input.rate;
        let rating = input::rating("rate.rating", rating)?;
        let customer = context.customer_of_chat(chat_id).await?;
        let chat = context.chats().rate(&customer, chat_id, rating).await?;
        Ok(CreateRatePayload { rate: Rate { id: chat.id, chat_id: chat.id, rating: chat.rating.unwrap_or(rating) } })
    }
}
