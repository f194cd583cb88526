//! Chats and races as the API shows them.
//!
//! Fields that wait are boxed. async-graphql makes the future of every field of an object as large as that of its
//! largest field, so that a query inlined in one would be allocated and copied for each scalar too.

use std::sync::Arc;

use async_graphql::{
    Context, ID, Object, SimpleObject,
    connection::{Connection, EmptyFields},
};
use sqlx::PgPool;
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
            scalars::{Datetime, InternetAddress},
        },
    },
};

/// One offer of a race to one contract, and the conversation if its agent won.
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

#[Object]
impl Chat {
    /// The chat.
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// Its race: all chats offered for the same customer request share it.
    async fn key(&self) -> Uuid {
        self.0.key
    }

    /// Where it stands.
    async fn status(&self) -> ChatStatus {
        self.0.status
    }

    /// It was not answered in the contract's time. A flag, never an end: a missed chat can still be started.
    async fn missed(&self) -> bool {
        self.0.missed
    }

    /// Why it is over.
    async fn close_reason(&self) -> Option<CloseReason> {
        self.0.close_reason
    }

    /// What the customer asked.
    async fn headline(&self) -> &str {
        &self.0.headline
    }

    /// As the customer gave it.
    async fn customer_name(&self) -> &str {
        &self.0.customer_name
    }

    /// The customer's.
    async fn ip_address(&self) -> Option<InternetAddress> {
        self.0.ip_address.map(InternetAddress::from)
    }

    /// Whom it is offered to.
    async fn contract_id(&self) -> Uuid {
        self.0.contract_id
    }

    /// Whom it is offered to; null when it has gone to another agent since.
    async fn contract(&self, context: &Context<'_>) -> Result<Option<Contract>> {
        let viewer = context.viewer(self.0.company_id)?;
        let contract = Box::pin(context.chats().loaders().contract(self.0.company_id, self.0.contract_id)).await?;
        Ok(contract.and_then(|contract| viewer.shown(&contract)).map(Contract::from))
    }

    /// What was said, oldest first.
    async fn messages(
        &self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Connection<String, Message, EmptyFields, EmptyFields>> {
        let window = Window { first, after, last, before };
        Box::pin(messages(context.data_unchecked::<PgPool>(), &self.0, window)).await
    }

    /// By the customer, 1 to 5.
    async fn rating(&self) -> Option<i32> {
        self.0.rating
    }

    /// Raised by one at each change.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When it will be, or was, flagged missed; null if it never will.
    async fn miss_at(&self) -> Option<Datetime> {
        let may_be = self.0.missed || self.0.status == ChatStatus::Active;
        self.0.miss_at.filter(|_| may_be).map(Datetime::from)
    }

    /// When it was offered.
    async fn inserted_at(&self) -> Datetime {
        self.0.inserted_at.into()
    }

    /// When it last changed.
    async fn updated_at(&self) -> Datetime {
        self.0.updated_at.into()
    }

    /// When its agent answered.
    async fn started_at(&self) -> Option<Datetime> {
        self.0.started_at.map(Datetime::from)
    }

    /// When it ended or was withdrawn.
    async fn finished_at(&self) -> Option<Datetime> {
        self.0.finished_at.map(Datetime::from)
    }
}

/// One customer request: its offers, and who won. An agent sees only its own chats in `chats` and `winner`, and no
/// failures; `state` tells the rest.
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

#[Object]
impl ChatRace {
    /// The key.
    async fn id(&self) -> ID {
        ID(self.0.key.to_string())
    }

    /// What its chats share.
    async fn key(&self) -> Uuid {
        self.0.key
    }

    /// Where it stands.
    async fn state(&self) -> RaceState {
        self.0.state
    }

    /// Its chats that the caller may see, oldest first.
    async fn chats(&self, context: &Context<'_>) -> Result<Vec<Chat>> {
        Ok(Box::pin(self.visible_chats(context)).await?.into_iter().map(Chat::from).collect())
    }

    /// The chat that was started, if the caller may see it.
    async fn winner(&self, context: &Context<'_>) -> Result<Option<Chat>> {
        let Some(winner) = self.0.winner_id else { return Ok(None) };
        let chats = Box::pin(self.visible_chats(context)).await?;
        Ok(chats.into_iter().find(|chat| chat.id == winner).map(Chat::from))
    }

    /// Contracts that could not be offered the chat.
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

    /// When unanswered offers are withdrawn; null while there are none, and once the race is decided.
    async fn expires_at(&self) -> Option<Datetime> {
        (self.0.state == RaceState::Waiting).then(|| self.0.expires_at.into())
    }

    /// Raised by one at each change.
    async fn version(&self) -> i32 {
        self.0.version
    }
}

/// A contract that could not be offered the chat.
#[derive(Debug, SimpleObject)]
pub struct ChatFailure {
    /// The contract.
    contract_id: Uuid,
    /// As `extensions.code` of an error.
    code: String,
    /// What was wrong.
    message: String,
}
