//! Writing a message.
//!
//! The chat's row lock decides, not the race's: a message neither starts nor ends anything. Whoever ends the chat
//! changes that row, so a message either comes before the end or finds the chat over.

use uuid::Uuid;

use super::{MessageRecord, sql};
use crate::{
    auth::{Principal, Role},
    chat::{
        Chats,
        changes::Changes,
        race::{ChatRecord, ChatStatus},
        rights,
    },
    clock, db,
    error::{Code, Error, Result},
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

/// What a transaction that wrote a message came to.
struct Written {
    message: MessageRecord,
    is_new: bool,
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
        // Writers of one chat wait for each other in any case: here without a connection each.
        let _turn = self.turns.take(principal.company_id, new.chat_id).await;
        let written = db::retrying(|| self.create_message_once(principal, &new, is_agent)).await?;
        let label = if written.is_new { "written" } else { "repeated" };
        metrics::counter!("switchboard_messages_total", "outcome" => label).increment(1);
        if written.is_new {
            self.bell.ring();
        }
        Ok(written.message)
    }

    async fn create_message_once(&self, principal: &Principal, new: &NewMessage, is_agent: bool) -> Result<Written> {
        let mut transaction = self.pool.begin().await?;
        let connection = &mut *transaction;
        let chat = sql::lock_chat(connection, principal.company_id, new.chat_id).await?;
        let chat = chat.filter(|chat| rights::sees_chat(principal, chat));
        let chat = chat.ok_or_else(|| Error::not_found("chat"))?;
        if let Some(id) = new.id
            && let Some(message) = sql::find(connection, &chat, id).await?
        {
            transaction.rollback().await?;
            return repeated(message, id, new, is_agent);
        }
        match chat.status {
            ChatStatus::Active => return Err(Error::conflict("the chat has not been started")),
            ChatStatus::Finished => return Err(Error::conflict("the chat is over")),
            ChatStatus::Started => {}
        }
        if !is_agent && let Some(opening) = sql::echoed_opening(connection, &chat, &new.text, new.id).await? {
            transaction.commit().await?;
            return Ok(Written { message: opening, is_new: false });
        }
        let message = message_of(&chat, new, is_agent);
        let (message, number) = sql::insert(connection, message).await?;
        let mut changes = Changes::by(principal.company_id, Some(&principal.subject));
        changes.message(&message, number)?;
        changes.append(connection).await?;
        transaction.commit().await?;
        Ok(Written { message, is_new: true })
    }
}

/// What a client's id that is known already comes to.
fn repeated(message: MessageRecord, id: Uuid, new: &NewMessage, is_agent: bool) -> Result<Written> {
    // Under another id than its own an opening message was echoed: of that only the text is the client's.
    let is_echo = message.id != id;
    if message.text == new.text && message.is_agent == is_agent && (is_echo || message.author == new.author) {
        return Ok(Written { message, is_new: false });
    }
    Err(Error::new(Code::IdempotencyMismatch, "message.id: another message has this id"))
}

/// Its times are the database's, set when it is inserted.
fn message_of(chat: &ChatRecord, new: &NewMessage, is_agent: bool) -> MessageRecord {
    MessageRecord {
        company_id: chat.company_id,
        chat_id: chat.id,
        id: new.id.unwrap_or_else(clock::new_id),
        website_id: chat.website_id,
        agent_id: chat.agent_id,
        visitor: chat.visitor.clone(),
        text: new.text.clone(),
        author: new.author.clone(),
        is_agent,
        opening: false,
        inserted_at: chat.updated_at,
        updated_at: chat.updated_at,
    }
}
