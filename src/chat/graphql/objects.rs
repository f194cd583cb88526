//! Chats and races as the API shows them.
//!
//! Fields that wait are boxed. async-graphql makes the future of every field of an object as large as that of its
//! largest field, so that a query inlined in one would be allocated and copied for each scalar too.

use std::sync::Arc;

use async_graphql::{
    Context, ID, Object, SimpleObject,
    connection::{Connection, EmptyFields},
};
use uuid::Uuid;

use super::{
    ChatContextExt as _,
    contract::Contract,
    message::{Message, Window, messages},
};
use crate::{
    chat::{
        ChatRecord, RaceRecord, rights,
        rules::{ChatStatus, CloseReason, RaceState},
    },
    platform::{
        auth::Role,
        error::Result,
        graphql::{
            context::ContextExt as _,
            directives,
            scalars::{Datetime, InternetAddress},
        },
    },
};

/// Contracts of a race, as the cost of a document counts them: the default of `SWITCHBOARD_RACE_CONTRACTS`.
const RACE_CONTRACTS: i32 = 100;

/// The object `Chat` of the schema.
pub struct Chat(Arc<ChatRecord>);

impl From<ChatRecord> for Chat {
    fn from(record: ChatRecord) -> Self {
        Self(Arc::new(record))
    }
}

impl From<Arc<ChatRecord>> for Chat {
    fn from(record: Arc<ChatRecord>) -> Self {
        Self(record)
    }
}

/// An offer of one contract in a race, and the conversation once its agent has started it.
#[Object]
impl Chat {
    /// Unique; with 74 random bits, so that a caller who knows it was given it.
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// The key of the chat's race. All chats of one customer request share it.
    async fn key(&self) -> Uuid {
        self.0.key
    }

    /// ACTIVE until an agent starts it, then STARTED, at last FINISHED.
    async fn status(&self) -> ChatStatus {
        self.0.status
    }

    /// True once the agent has not started the chat within the contract's `chatMissTime`. A missed chat can still be
    /// started.
    async fn missed(&self) -> bool {
        self.0.missed
    }

    /// Why the chat is FINISHED; null before.
    async fn close_reason(&self) -> Option<CloseReason> {
        self.0.close_reason
    }

    /// The customer's request. It is also the first message once the chat has started.
    async fn headline(&self) -> &str {
        &self.0.headline
    }

    /// The name that the customer gave.
    async fn customer_name(&self) -> &str {
        &self.0.customer_name
    }

    /// The customer's address: as the input gave it, otherwise that of the connection.
    async fn ip_address(&self) -> Option<InternetAddress> {
        self.0.ip_address.map(InternetAddress::from)
    }

    /// The contract that the chat is offered to. It never changes.
    async fn contract_id(&self) -> Uuid {
        self.0.contract_id
    }

    /// The contract that the chat is offered to; null if the caller may not see the contract any more.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn contract(&self, context: &Context<'_>) -> Result<Option<Contract>> {
        let viewer = context.viewer(self.0.company_id)?;
        let contract = Box::pin(context.chats().loaders().contract(self.0.company_id, self.0.contract_id)).await?;
        Ok(contract.and_then(|contract| viewer.shown_with_chat(&contract)).map(Contract::from))
    }

    /// The messages, oldest first: forward with `first` and `after`, or backward with `last` and `before`.
    #[graphql(directive = directives::cost::apply(directives::LIST))]
    async fn messages(
        &self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Connection<String, Message, EmptyFields, EmptyFields>> {
        let window = Window { first, after, last, before };
        Box::pin(messages(context, &self.0, window)).await
    }

    /// The customer's rating, 1 to 5.
    async fn rating(&self) -> Option<i32> {
        self.0.rating
    }

    /// Starts at 1 and is raised by one at each change; a higher version is the newer state.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When the chat will be, or was, flagged missed; null if it never will be.
    async fn miss_at(&self) -> Option<Datetime> {
        let may_be = self.0.missed || self.0.status == ChatStatus::Active;
        self.0.miss_at.filter(|_| may_be).map(Datetime::from)
    }

    /// When the chat was offered.
    async fn inserted_at(&self) -> Datetime {
        self.0.inserted_at.into()
    }

    /// When the chat last changed.
    async fn updated_at(&self) -> Datetime {
        self.0.updated_at.into()
    }

    /// When the agent started the chat.
    async fn started_at(&self) -> Option<Datetime> {
        self.0.started_at.map(Datetime::from)
    }

    /// When the chat was ended or withdrawn.
    async fn finished_at(&self) -> Option<Datetime> {
        self.0.finished_at.map(Datetime::from)
    }
}

/// The object `ChatRace` of the schema.
pub struct ChatRace(Arc<RaceRecord>);

impl From<RaceRecord> for ChatRace {
    fn from(record: RaceRecord) -> Self {
        Self(Arc::new(record))
    }
}

impl From<Arc<RaceRecord>> for ChatRace {
    fn from(record: Arc<RaceRecord>) -> Self {
        Self(record)
    }
}

impl ChatRace {
    async fn visible_chats(&self, context: &Context<'_>) -> Result<Vec<Arc<ChatRecord>>> {
        let principal = context.principal()?;
        let mut chats = context.chats().loaders().chats_of_race(self.0.company_id, self.0.key).await?;
        chats.retain(|chat| rights::sees_chat(principal, chat));
        Ok(chats)
    }
}

/// One request of a customer: its chats, and which of them was started. An agent sees only its own chats in `chats` and
/// `winner`, and no failures; `state` shows whether another agent has won.
#[Object]
impl ChatRace {
    /// The same as `key`.
    async fn id(&self) -> ID {
        ID(self.0.key.to_string())
    }

    /// Names the race. All of its chats share it.
    async fn key(&self) -> Uuid {
        self.0.key
    }

    /// WAITING until an agent starts a chat, or until the race ends without one.
    async fn state(&self) -> RaceState {
        self.0.state
    }

    /// The chats of the race that the caller may see, oldest first.
    #[graphql(
        directive = directives::cost::apply(directives::LIST),
        directive = directives::list_size::apply(RACE_CONTRACTS)
    )]
    async fn chats(&self, context: &Context<'_>) -> Result<Vec<Chat>> {
        Ok(Box::pin(self.visible_chats(context)).await?.into_iter().map(Chat::from).collect())
    }

    /// The chat that was started; null if there is none, or if the caller may not see it.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn winner(&self, context: &Context<'_>) -> Result<Option<Chat>> {
        let Some(winner) = self.0.winner_id else { return Ok(None) };
        let chats = Box::pin(self.visible_chats(context)).await?;
        Ok(chats.into_iter().find(|chat| chat.id == winner).map(Chat::from))
    }

    /// The contracts that could not be offered the chat. Empty for agents. Those that do not exist, or not for the caller,
    /// are listed only in the result of the `createChatRace` that named them.
    #[graphql(directive = directives::list_size::apply(RACE_CONTRACTS))]
    async fn failures(&self, context: &Context<'_>) -> Result<Vec<ChatFailure>> {
        if context.principal()?.role == Role::Agent {
            return Ok(Vec::new());
        }
        let failures = self.0.failures.iter().cloned();
        Ok(failures
            .map(|failure| ChatFailure {
                contract_id: failure.contract_id,
                code: failure.code,
                message: failure.message,
            })
            .collect())
    }

    /// When the offers expire; null unless the race is WAITING.
    async fn expires_at(&self) -> Option<Datetime> {
        (self.0.state == RaceState::Waiting).then(|| self.0.expires_at.into())
    }

    /// Starts at 1 and is raised by one at each change; a higher version is the newer state.
    async fn version(&self) -> i32 {
        self.0.version
    }
}

/// A contract that could not be offered the chat.
#[derive(Debug, SimpleObject)]
pub struct ChatFailure {
    /// The contract as the request named it; it may not exist.
    contract_id: Uuid,
    /// One of the codes in `extensions.code` of errors.
    code: String,
    /// The reason, for people.
    message: String,
}
