//! Messages in the API.

use std::sync::Arc;

use async_graphql::{
    Context, Enum, InputObject, Object, SimpleObject, Subscription,
    connection::{Connection, EmptyFields},
};
use uuid::Uuid;

use super::ChatContextExt as _;
use crate::{
    chat::{
        ChatRecord,
        message::{MessageFeed, MessageRecord, MessageWindow, NewMessage},
    },
    platform::{
        error::{Error, Result},
        event::Cursor,
        graphql::{
            context::ContextExt as _,
            directives,
            page::{self, Page},
            scalars::Datetime,
            source::{self, SourceRegistered},
            stream_event::StreamEvent,
        },
        input,
    },
};

/// Most messages of a list, for the cost of a document: [`MOST`](crate::chat::message::MOST).
pub(super) const SIZE: i32 = 1_000;

/// The object `Message` of the schema.
pub struct Message(Arc<MessageRecord>);

impl From<MessageRecord> for Message {
    fn from(record: MessageRecord) -> Self {
        Self(Arc::new(record))
    }
}

impl From<Arc<MessageRecord>> for Message {
    fn from(record: Arc<MessageRecord>) -> Self {
        Self(record)
    }
}

/// One message of a chat.
#[Object]
impl Message {
    /// Unique within the chat; chosen by the client or by the server.
    async fn id(&self) -> Uuid {
        self.0.id
    }

    /// The chat that the message was written into.
    async fn chat_id(&self) -> Uuid {
        self.0.chat_id
    }

    /// Up to 10,000 characters.
    #[graphql(directive = directives::cost::apply(directives::TEXT))]
    async fn text(&self) -> &str {
        &self.0.text
    }

    /// The name to show beside the text.
    async fn author(&self) -> &str {
        &self.0.author
    }

    /// True if the agent's side wrote the message.
    async fn is_agent(&self) -> bool {
        self.0.is_agent
    }

    /// When the message was written. Lists and streams have the order of writing, also if a clock was put back meanwhile.
    async fn inserted_at(&self) -> Datetime {
        self.0.inserted_at.into()
    }

    /// The same as `insertedAt`: messages never change.
    async fn updated_at(&self) -> Datetime {
        self.0.updated_at.into()
    }
}

/// The part of a list to read: forward with `first` and `after`, or backward with `last` and `before`.
#[derive(Debug, Default)]
pub(in crate::chat) struct Window {
    pub(in crate::chat) first: Option<i32>,
    pub(in crate::chat) after: Option<String>,
    pub(in crate::chat) last: Option<i32>,
    pub(in crate::chat) before: Option<String>,
}

/// A page of a chat's messages, oldest first. The caller has checked that the chat may be seen.
pub(in crate::chat) async fn messages(
    context: &Context<'_>,
    chat: &ChatRecord,
    window: Window,
) -> Result<Connection<String, Message, EmptyFields, EmptyFields>> {
    let Window { first, after, last, before } = window;
    if first.is_some() && last.is_some() {
        return Err(Error::invalid("last", "not together with first"));
    }
    let backward = last.is_some();
    let size = if backward { page::size("last", last)? } else { page::size("first", first)? };
    let after = after.map(|cursor| number("after", &cursor)).transpose()?;
    let before = before.map(|cursor| number("before", &cursor)).transpose()?;
    let window = MessageWindow { after, before, newest_first: backward, limit: size + 1 };
    let found = context.chats().loaders().messages(&context.reading(), chat, window).await?;
    // Beyond the given end of the window lies at least the message that it names.
    let page = if backward {
        Page::backward(found, size, before.is_some())
    } else {
        Page::forward(found, size, after.is_some())
    };
    Ok(page.into_connection(|message| message.number, Message::from))
}

/// The number of a message, which is its page cursor.
fn number(argument: &str, cursor: &str) -> Result<i32> {
    let number = cursor.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| Error::invalid(argument, "is not a cursor of this list"))
}

/// Which messages a list shows.
#[derive(Debug, Default, InputObject)]
pub struct MessageCondition {
    /// The messages of this chat; required.
    chat_id: Option<Uuid>,
}

/// The order of a list of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum MessagesOrderBy {
    /// Oldest first, in the order of writing.
    InsertedAtAsc,
    /// Newest first, in the order of writing.
    InsertedAtDesc,
}

/// The chat and the order that a request names. The first of several orders counts; the default is oldest first.
pub(in crate::chat) fn chat_and_order(
    condition: Option<MessageCondition>,
    order_by: Option<Vec<MessagesOrderBy>>,
) -> Result<(Uuid, MessagesOrderBy)> {
    let chat_id = condition.unwrap_or_default().chat_id;
    let chat_id = chat_id.ok_or_else(|| Error::invalid("condition.chatId", "required"))?;
    let order = order_by.unwrap_or_default().first().copied().unwrap_or(MessagesOrderBy::InsertedAtAsc);
    Ok((chat_id, order))
}

/// A message to write.
#[derive(Debug, InputObject)]
pub struct MessageInput {
    /// Chosen by the client, so that a repeat returns the existing message instead of writing a second one.
    id: Option<Uuid>,
    /// A started chat.
    chat_id: Uuid,
    /// 1 to 10,000 characters.
    text: String,
    /// The name to show beside the text; 1 to 200 characters.
    author: String,
    /// True if the agent's side writes. A visitor must not set it; an agent need not; the company chooses.
    is_agent: Option<bool>,
}

impl MessageInput {
    fn checked(self) -> Result<NewMessage> {
        Ok(NewMessage {
            id: self.id,
            chat_id: self.chat_id,
            text: input::text("message.text", &self.text)?,
            author: input::name("message.author", &self.author)?,
            is_agent: self.is_agent,
        })
    }
}

/// The input of `createMessage`.
#[derive(Debug, InputObject)]
pub struct CreateMessageInput {
    /// The message to write.
    message: MessageInput,
}

/// The result of `createMessage`.
#[derive(SimpleObject)]
pub struct CreateMessagePayload {
    /// The new message, or the existing one that this call repeats.
    message: Message,
}

/// Queries on messages.
#[derive(Default)]
pub struct MessageQuery;

#[Object]
impl MessageQuery {
    /// A chat's newest messages, at most 1,000, in the order given; `Chat.messages` pages through all of them. A caller
    /// without a token must know the chat's id.
    #[graphql(directive = directives::cost::apply(directives::LIST), directive = directives::list_size::apply(SIZE))]
    async fn messages(
        &self,
        context: &Context<'_>,
        condition: Option<MessageCondition>,
        order_by: Option<Vec<MessagesOrderBy>>,
    ) -> Result<Vec<Message>> {
        let (chat_id, order) = chat_and_order(condition, order_by)?;
        let found = context.chat_of_caller(chat_id).await?;
        let (_, chat) = found.ok_or_else(|| Error::not_found("chat"))?;
        let mut newest = context.chats().loaders().messages(&context.reading(), &chat, MessageWindow::NEWEST).await?;
        if order == MessagesOrderBy::InsertedAtAsc {
            newest.reverse();
        }
        Ok(newest.into_iter().map(Message::from).collect())
    }
}

/// Mutations of messages.
#[derive(Default)]
pub struct MessageMutation;

#[Object]
impl MessageMutation {
    /// Writes a message into a started chat. The headline is the first message already: a customer's first message that
    /// repeats it returns that message.
    async fn create_message(&self, context: &Context<'_>, input: CreateMessageInput) -> Result<CreateMessagePayload> {
        let new = input.message.checked()?;
        let customer = context.customer_of_chat(new.chat_id).await?;
        let message = context.chats().create_message(&customer, new).await?;
        Ok(CreateMessagePayload { message: message.into() })
    }
}

/// Subscriptions to messages.
#[derive(Default)]
pub struct MessageSubscription;

#[Subscription]
impl MessageSubscription {
    /// A chat's newest messages, at most 1,000, oldest first, then every new one. With `after`: the messages since that
    /// cursor.
    async fn message_added(
        &self,
        context: &Context<'_>,
        chat_id: Uuid,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<StreamEvent<Message>>> {
        let viewer = context.viewer_of_chat(chat_id).await?;
        Ok(source::events(context, MessageFeed { viewer, chat_id }, after))
    }
}
