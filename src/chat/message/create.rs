//! `createMessage`: writes a message into a started chat.
//!
//! The lock on the chat's row carries this decision, not the lock on the race's: a message neither starts nor ends
//! anything. A verb that ends the chat changes the chat's row. So a message is either written before the end, or the
//! call reads that the chat is over.
//!
//! A repeat with the client's id returns the existing message, also after the chat is over. If the customer's first message
//! has the text of the opening message, the call returns the opening message: deployed widgets write the headline
//! themselves once an agent has started the chat.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use sqlx::PgConnection;
use time::Duration;
use uuid::Uuid;

use super::{
    MessageRecord,
    sql::{self, ChatRow, ChatWrite},
};
use crate::{
    chat::{
        Chats, events,
        rights::{self, Action},
        rules::ChatStatus,
    },
    platform::{
        auth::{Principal, Role},
        batch::{Batched, CallOutcome, Outcomes, WritePath},
        clock,
        error::{Code, Error, Result},
        unit::{Changes, Unit},
    },
};

/// A message to write. Its fields are within their bounds.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// Chosen by the client, so that a repeat returns the existing message.
    pub id: Option<Uuid>,
    /// The chat to write into.
    pub chat_id: Uuid,
    /// 1 to 10,000 characters.
    pub text: String,
    /// The name to show beside the text.
    pub author: String,
    /// True if the agent's side writes. The role decides for visitors and agents, the value for the company.
    pub is_agent: Option<bool>,
}

/// A call of `createMessage`.
#[derive(Debug)]
pub(in crate::chat) struct CreateMessage {
    principal: Principal,
    new: NewMessage,
    /// The client's id, or one made before the first run, so that a second run recognizes the message.
    id: Uuid,
    is_agent: bool,
}

impl Batched for CreateMessage {
    const KIND: &'static str = "create_message";
    type Outcome = MessageRecord;

    fn company_id(&self) -> Uuid {
        self.principal.company_id
    }

    fn subject(&self) -> Uuid {
        self.new.chat_id
    }

    async fn run(calls: &[Arc<Self>], unit: &mut Unit<'_>, path: WritePath) -> Result<Outcomes<MessageRecord>> {
        let company_id = calls.first().map(|call| call.principal.company_id).unwrap_or_default();
        if path == WritePath::Locked {
            let ids: Vec<Uuid> = calls.iter().map(|call| call.new.chat_id).collect();
            sql::lock_chats(unit.connection(), company_id, &ids).await?;
        }
        let mut chats = read(unit.connection(), company_id, calls, path).await?;
        let mut outcomes = Vec::with_capacity(calls.len());
        for call in calls {
            outcomes.push(match chats.get_mut(&call.new.chat_id) {
                Some(chat) => chat.decide(call)?,
                None => Err(Error::not_found("chat")),
            });
        }
        let chats: Vec<ChatDraft> = chats.into_values().collect();
        let changed: Vec<ChatWrite<'_>> = chats.iter().filter(|chat| chat.is_changed()).map(ChatDraft::write).collect();
        let mut unwritten: HashSet<Uuid> = changed.iter().map(|chat| chat.id).collect();
        if !changed.is_empty() {
            for written in sql::write(unit.connection(), company_id, &changed).await? {
                unwritten.remove(&written);
            }
            // Committed also without an event, because an echo may have been stored.
            unit.mark_changed();
        }
        for chat in chats.into_iter().filter(|chat| !unwritten.contains(&chat.row.id)) {
            unit.changes_written(chat.changes);
        }
        let outcomes = calls.iter().zip(outcomes);
        let outcome = |(call, outcome): (&Arc<Self>, _)| match call.new.chat_id {
            subject if unwritten.contains(&subject) => CallOutcome::PremiseFailed { subject },
            _ => CallOutcome::Decided(outcome),
        };
        Ok(outcomes.map(outcome).collect())
    }
}

/// Reads what `calls` decide on: their chats, and the existing messages that they may repeat.
async fn read(
    connection: &mut PgConnection,
    company_id: Uuid,
    calls: &[Arc<CreateMessage>],
    path: WritePath,
) -> Result<BTreeMap<Uuid, ChatDraft>> {
    let ids: Vec<Uuid> = calls.iter().map(|call| call.new.chat_id).collect();
    let chats = sql::read_chats(connection, company_id, &ids).await?;
    let mut chats: BTreeMap<Uuid, ChatDraft> = chats.into_iter().map(|row| (row.id, ChatDraft::new(row))).collect();
    // On the locked path a call may run for the second time. Then its message may exist under the server's id.
    let may_repeat = |call: &&Arc<CreateMessage>| call.new.id.is_some() || path == WritePath::Locked;
    let (in_chats, known_ids): (Vec<Uuid>, Vec<Uuid>) =
        calls.iter().filter(may_repeat).map(|call| (call.new.chat_id, call.id)).unzip();
    if !known_ids.is_empty() {
        for (id, message) in sql::known_messages(connection, company_id, &in_chats, &known_ids).await? {
            if let Some(chat) = chats.get_mut(&message.chat_id) {
                chat.known.insert(id, message);
            }
        }
    }
    let may_echo: Vec<Uuid> = calls
        .iter()
        .filter(|call| !call.is_agent)
        .filter_map(|call| chats.get(&call.new.chat_id).filter(|chat| chat.row.headline == call.new.text))
        .map(|chat| chat.row.id)
        .collect();
    if !may_echo.is_empty() {
        for message in sql::opening_messages(connection, company_id, &may_echo).await? {
            if let Some(chat) = chats.get_mut(&message.chat_id) {
                chat.opening = Some(message);
            }
        }
    }
    Ok(chats)
}

/// A chat and what the calls of a batch have added to it so far.
struct ChatDraft {
    row: ChatRow,
    /// The messages that were written before, also by earlier calls of this batch, by the ids of the calls.
    known: HashMap<Uuid, MessageRecord>,
    /// The opening message, if the customer has written nothing else and wrote its text again.
    opening: Option<MessageRecord>,
    /// The client's id under which the opening message was written again.
    echo: Option<Uuid>,
    added: Vec<MessageRecord>,
    changes: Changes,
}

impl ChatDraft {
    fn new(row: ChatRow) -> Self {
        let (known, added, changes) = (HashMap::new(), Vec::new(), Changes::default());
        Self { row, known, opening: None, echo: None, added, changes }
    }

    fn is_changed(&self) -> bool {
        !self.added.is_empty() || self.echo.is_some()
    }

    fn write(&self) -> ChatWrite<'_> {
        ChatWrite {
            id: self.row.id,
            version: self.row.version,
            messages_read: self.row.message_count,
            added: &self.added,
            echo: self.echo,
            changes: &self.changes,
        }
    }

    /// Decides one call. The outer error is a fault of the server.
    fn decide(&mut self, call: &CreateMessage) -> Result<Result<MessageRecord>> {
        let message = self.message(call);
        let (message, label) = match self.judge(call, &message) {
            Ok(Some(there)) => (there, "repeated"),
            Ok(None) => {
                self.changes.record(events::MESSAGE_ADDED, Some(&call.principal.subject), &message, None)?;
                self.opening = self.opening.take().filter(|_| call.is_agent);
                self.known.insert(call.id, message.clone());
                self.added.push(message.clone());
                (message, "written")
            }
            Err(error) => return Ok(Err(error)),
        };
        self.changes.count("switchboard_messages_total", &[("outcome", label)]);
        Ok(Ok(message))
    }

    /// The existing message that the call repeats; `None` if the call writes a new one.
    fn judge(&mut self, call: &CreateMessage, message: &MessageRecord) -> Result<Option<MessageRecord>> {
        if !rights::sees_message(&call.principal, message) {
            return Err(Error::not_found("chat"));
        }
        if let Some(known) = self.known.get(&call.id) {
            // An opening message was echoed under this id. Only its text comes from the client, so only the text is compared.
            let is_echo = known.id != call.id;
            let is_same = known.text == call.new.text && known.is_agent == call.is_agent;
            if is_same && (is_echo || known.author == call.new.author) {
                return Ok(Some(known.clone()));
            }
            return Err(Error::new(Code::IdempotencyMismatch, "message.id: another message has this id"));
        }
        match self.row.status {
            ChatStatus::Active => Err(Error::conflict("the chat has not been started")),
            ChatStatus::Finished => Err(Error::conflict("the chat is over")),
            ChatStatus::Started if call.is_agent || call.new.text != self.row.headline => Ok(None),
            ChatStatus::Started => {
                let opening = self.opening.clone();
                if opening.is_some() {
                    self.echo = self.echo.or(call.new.id);
                }
                Ok(opening)
            }
        }
    }

    fn added_count(&self) -> i32 {
        // At most as many as a batch has calls.
        i32::try_from(self.added.len()).unwrap_or(i32::MAX)
    }

    /// The message that the call writes. Messages of one batch are a microsecond apart, for clients that sort by time.
    fn message(&self, CreateMessage { new, id, is_agent, .. }: &CreateMessage) -> MessageRecord {
        let row = &self.row;
        let at = row.now + Duration::microseconds(self.added_count().into());
        MessageRecord {
            company_id: row.company_id,
            chat_id: row.id,
            id: *id,
            number: row.message_count + self.added_count() + 1,
            website_id: row.website_id,
            agent_id: row.agent_id,
            visitor: row.visitor.clone(),
            text: new.text.clone(),
            author: new.author.clone(),
            is_agent: *is_agent,
            opening: false,
            inserted_at: at,
            updated_at: at,
        }
    }
}

/// True if the caller writes on the agent's side. A visitor never does, an agent always does, the company chooses.
fn is_agent(principal: &Principal, asked: Option<bool>) -> Result<bool> {
    rights::may(principal, Action::WriteMessage)?;
    let is_agent = asked.unwrap_or(false) || principal.role == Role::Agent;
    if is_agent {
        rights::may(principal, Action::WriteAsAgent)?;
    }
    Ok(is_agent)
}

impl Chats {
    /// Writes a message into a started chat; see the module.
    ///
    /// # Errors
    /// `FORBIDDEN` for a visitor that writes as the agent and for participants; `NOT_FOUND` for a chat that the caller
    /// may not see; `CONFLICT` for one that is not started, or over; `IDEMPOTENCY_MISMATCH` for an id that is another
    /// message's.
    #[tracing::instrument(name = "message.create", skip_all, fields(chat.id = %new.chat_id))]
    pub async fn create_message(&self, principal: &Principal, new: NewMessage) -> Result<MessageRecord> {
        let is_agent = is_agent(principal, new.is_agent)?;
        let id = new.id.unwrap_or_else(clock::new_id);
        self.calls.create_message.run(CreateMessage { principal: principal.clone(), new, id, is_agent }).await
    }
}
