//! Writing a message.
//!
//! The chat's row lock decides, not the race's: a message neither starts nor ends anything. Whoever ends the chat
//! changes that row, so a message either comes before the end or finds the chat over.
//!
//! One function, [`write`], serves one message as it serves a [batch](super::batch) of them, each to a chat of its own.

use std::sync::Arc;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{MessageRecord, batch::Post, sql};
use crate::{
    chat::{
        Chats,
        changes::Changes,
        race::{ChatRecord, ChatStatus},
        rights,
    },
    platform::{
        auth::{Principal, Role},
        clock, db,
        error::{Code, Error, Result},
        event::{self, NewEvent},
    },
};

/// A message about to be written; its bounds are checked.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Made by the client: a repeat answers the message that is there.
    pub id: Option<Uuid>,
    /// Where.
    pub chat_id: Uuid,
    /// What.
    pub text: String,
    /// Who, as shown.
    pub author: String,
    /// Whether the agent's side writes; decided by the role for visitors and agents.
    pub is_agent: Option<bool>,
}

/// Whose side the caller writes on. A visitor is never the agent, an agent always; the company may be either.
fn is_agent(principal: &Principal, asked: Option<bool>) -> Result<bool> {
    match principal.role {
        Role::Consumer if asked == Some(true) => Err(Error::forbidden("a visitor cannot write as the agent")),
        Role::Consumer => Ok(false),
        Role::Agent => Ok(true),
        Role::Participant => Err(Error::forbidden("participants have no chats")),
        Role::Service | Role::Admin => Ok(asked.unwrap_or(false)),
    }
}

/// What a request to write a message came to.
#[derive(Debug)]
pub(in crate::chat) struct Written {
    message: MessageRecord,
    is_new: bool,
}

/// Writes `posts` to `chats`, which are locked, at most one to each; `again` says that they may have been written before
/// by a transaction whose end is not known. Answers the outcome of each post, and the events to append: none if nothing
/// was written.
pub(super) async fn write(
    connection: &mut PgConnection,
    company_id: Uuid,
    chats: &[ChatRecord],
    posts: &[&Post],
    again: bool,
) -> Result<(Vec<Result<Written>>, Vec<NewEvent>)> {
    let known = known(connection, company_id, posts, again).await?;
    let mut outcomes = Vec::with_capacity(posts.len());
    let mut new = Vec::new();
    for (index, post) in posts.iter().enumerate() {
        let chat = chats.iter().find(|chat| chat.id == post.new.chat_id);
        outcomes.push(match judge(chat, post, &known) {
            Ok(Verdict::Repeated(message)) => Ok(Written { message, is_new: false }),
            Ok(Verdict::Echo(chat)) => match sql::echo_opening(connection, chat, post.new.id).await? {
                Some(message) => Ok(Written { message, is_new: false }),
                None => Ok(Written { message: message_of(chat, post), is_new: true }),
            },
            Ok(Verdict::New(chat)) => Ok(Written { message: message_of(chat, post), is_new: true }),
            Err(error) => Err(error),
        });
        if let Some(Ok(Written { message, is_new: true })) = outcomes.last() {
            new.push((index, message.clone()));
        }
    }
    let events = insert(connection, company_id, posts, new, &mut outcomes).await?;
    Ok((outcomes, events))
}

/// The messages that these posts repeat: by the clients' ids, and by all ids if they may have been written before.
async fn known(
    connection: &mut PgConnection,
    company_id: Uuid,
    posts: &[&Post],
    again: bool,
) -> Result<Vec<MessageRecord>> {
    let named = posts.iter().filter(|post| again || post.new.id.is_some());
    let (chat_ids, ids): (Vec<Uuid>, Vec<Uuid>) = named.map(|post| (post.new.chat_id, post.id)).unzip();
    if ids.is_empty() { Ok(Vec::new()) } else { sql::find(connection, company_id, &chat_ids, &ids).await }
}

/// What a post is.
enum Verdict<'a> {
    /// The message is there.
    Repeated(MessageRecord),
    /// The headline once more: the opening message, if the customer has written nothing else yet.
    Echo(&'a ChatRecord),
    /// To be written.
    New(&'a ChatRecord),
}

/// Judges a post by its chat, which is locked if it is there.
fn judge<'a>(chat: Option<&'a ChatRecord>, post: &Post, known: &[MessageRecord]) -> Result<Verdict<'a>> {
    let Post { principal, new, id, is_agent } = post;
    let chat = chat.filter(|chat| rights::sees_chat(principal, chat)).ok_or_else(|| Error::not_found("chat"))?;
    if let Some(message) = known.iter().find(|message| message.chat_id == chat.id) {
        // Under another id than its own an opening message was echoed: of that only the text is the client's.
        let is_echo = message.id != *id;
        if message.text == new.text && message.is_agent == *is_agent && (is_echo || message.author == new.author) {
            return Ok(Verdict::Repeated(message.clone()));
        }
        return Err(Error::new(Code::IdempotencyMismatch, "message.id: another message has this id"));
    }
    match chat.status {
        ChatStatus::Active => Err(Error::conflict("the chat has not been started")),
        ChatStatus::Finished => Err(Error::conflict("the chat is over")),
        // A started chat's headline stays as it is, and is its opening message's text.
        ChatStatus::Started if !is_agent && new.text == chat.headline => Ok(Verdict::Echo(chat)),
        ChatStatus::Started => Ok(Verdict::New(chat)),
    }
}

/// Its times are the database's, set when it is inserted.
fn message_of(chat: &ChatRecord, Post { new, id, is_agent, .. }: &Post) -> MessageRecord {
    MessageRecord {
        company_id: chat.company_id,
        chat_id: chat.id,
        id: *id,
        website_id: chat.website_id,
        agent_id: chat.agent_id,
        visitor: chat.visitor.clone(),
        text: new.text.clone(),
        author: new.author.clone(),
        is_agent: *is_agent,
        opening: false,
        inserted_at: chat.updated_at,
        updated_at: chat.updated_at,
    }
}

/// Inserts the `new` messages, each with the place of its outcome, which gets its times.
async fn insert(
    connection: &mut PgConnection,
    company_id: Uuid,
    posts: &[&Post],
    new: Vec<(usize, MessageRecord)>,
    outcomes: &mut [Result<Written>],
) -> Result<Vec<NewEvent>> {
    let mut events = Vec::new();
    if new.is_empty() {
        return Ok(events);
    }
    let (places, messages): (Vec<usize>, Vec<MessageRecord>) = new.into_iter().unzip();
    let added = sql::insert(connection, company_id, &messages).await?;
    for (place, mut message) in places.into_iter().zip(messages) {
        let row = added.iter().find(|row| row.chat_id == message.chat_id);
        let row = row.ok_or_else(|| Error::internal("a message that was just inserted is not there"))?;
        message.inserted_at = row.inserted_at;
        message.updated_at = row.inserted_at;
        let mut changes = Changes::by(company_id, Some(&posts[place].principal.subject));
        changes.message(&message, row.number)?;
        events.extend(changes.into_events());
        outcomes[place] = Ok(Written { message, is_new: true });
    }
    Ok(events)
}

impl Chats {
    /// Writes a message into a chat that is being held. A repeat by the client's id answers the message that is there,
    /// also after the chat is over. The customer's first message, if it has the text of the opening one, answers that:
    /// deployed widgets write the headline themselves once an agent has answered.
    ///
    /// # Errors
    /// `FORBIDDEN` for a visitor that writes as the agent and for participants; `NOT_FOUND` for a chat that the caller
    /// may not see; `CONFLICT` for one that is not started, or over; `IDEMPOTENCY_MISMATCH` for an id that is another
    /// message's.
    #[tracing::instrument(name = "message.create", skip_all, fields(chat.id = %new.chat_id))]
    pub async fn create_message(&self, principal: &Principal, new: NewMessage) -> Result<MessageRecord> {
        let is_agent = is_agent(principal, new.is_agent)?;
        // Named here, so that the message is known again if it has to be written a second time.
        let id = new.id.unwrap_or_else(clock::new_id);
        let post = Arc::new(Post { principal: principal.clone(), new, id, is_agent });
        // With the others that write now. What cannot be done so, is done alone.
        let written = match self.posts.submit(principal.company_id, Arc::clone(&post)).await {
            Some(outcome) => outcome?,
            None => Box::pin(self.create_message_alone(&post)).await?,
        };
        let label = if written.is_new { "written" } else { "repeated" };
        metrics::counter!("switchboard_messages_total", "outcome" => label).increment(1);
        Ok(written.message)
    }

    async fn create_message_alone(&self, post: &Post) -> Result<Written> {
        // Writers of one chat wait for each other in any case: here without a connection each.
        let _turn = self.turns.take(post.principal.company_id, post.new.chat_id).await;
        let written = db::retrying(|| self.create_message_once(post)).await?;
        if written.is_new {
            self.notifier.notify();
        }
        Ok(written)
    }

    async fn create_message_once(&self, post: &Post) -> Result<Written> {
        let mut transaction = self.pool.begin().await?;
        let connection = &mut *transaction;
        let company_id = post.principal.company_id;
        let chat = sql::lock_chat(connection, company_id, post.new.chat_id).await?;
        let (mut outcomes, events) = write(connection, company_id, chat.as_slice(), &[post], true).await?;
        let written = outcomes.pop().ok_or_else(|| Error::internal("a message without an outcome"))??;
        if !events.is_empty() {
            event::append(connection, &events).await?;
        }
        // Also without a new message: an echo was noted, perhaps.
        transaction.commit().await?;
        Ok(written)
    }
}
