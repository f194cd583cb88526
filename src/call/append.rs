//! `appendCallMessage`: writes into a call's transcript, until it is finalized.
//!
//! The call's row carries this decision: the statement that writes checks, under the row's lock, that the call is not
//! finalized and still has as many messages as were read. An insert that relied on its foreign key alone could land after
//! the transcript was closed.
//!
//! ```text
//! socket ─► the call's line, in its order ─► batch with messages of other calls ─► read ─► decide ─► one statement
//! ```
//! Messages of many calls share a statement. Those of one call come one by one: each waits in the call's line, with all
//! else that is done to the call, until the one before it has been answered.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Calls,
    record::{CALL_MESSAGES, CallName, MESSAGE_ADDED},
    rights,
    rules::CallStatus,
    sql::{self, Transcript},
};
use crate::platform::{
    auth::Principal,
    batch::{Batched, CallOutcome, Outcomes, Reading, WritePath},
    clock,
    error::{Error, Result},
    event::{NewEvent, Subject},
    idempotency::{IdempotencyKey, Idempotent},
    unit::{Changes, Lines, Unit, Verb},
};

/// A line of a transcript.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallMessage {
    /// First part of the key.
    pub company_id: Uuid,
    /// Our id of the call that it belongs to.
    pub call_id: Uuid,
    /// Its place, from 1 without holes; the version of its event.
    pub number: i32,
    /// Its id, made before it was written, so that a repeat finds it.
    pub id: Uuid,
    /// Who spoke, in the company's words.
    pub role: String,
    /// What was said.
    pub text: String,
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
}

impl CallMessage {
    /// The bytes that it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.role.len() + self.text.len()
    }
}

/// Which of a call's messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct MessageWindow {
    /// Only messages after the one of this number.
    pub(super) after: i32,
    /// Only messages before the one of this number.
    pub(super) before: i32,
    /// Read from the newest backward, and so given in that order.
    pub(super) newest_first: bool,
    /// Most messages of one call.
    pub(super) limit: usize,
}

/// A line to write. Its fields are within their bounds.
#[derive(Debug, Clone, Serialize)]
pub struct NewCallMessage {
    /// The call, by our id or by the provider's name.
    pub name: CallName,
    /// Who spoke, in the company's words.
    pub role: String,
    /// What was said.
    pub text: String,
}

/// A call of `appendCallMessage`.
#[derive(Debug)]
pub(super) struct AppendMessage {
    company_id: Uuid,
    actor: String,
    /// Made before the first run, so that a second run recognizes the message.
    id: Uuid,
    new: NewCallMessage,
}

impl AppendMessage {
    fn lines(&self) -> Lines {
        self.new.name.lines(self.company_id, &self.actor)
    }
}

impl Batched for AppendMessage {
    const KIND: &'static str = "append_call_message";
    type Outcome = CallMessage;

    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn subject(&self) -> Uuid {
        self.new.name.lane()
    }

    fn caller(&self) -> Option<&str> {
        Some(&self.actor)
    }

    async fn run(calls: &[Arc<Self>], unit: &mut Unit<'_>, path: WritePath) -> Result<Outcomes<CallMessage>> {
        let company_id = calls.first().map(|call| call.company_id).unwrap_or_default();
        let names: Vec<&CallName> = calls.iter().map(|call| &call.new.name).collect();
        if path == WritePath::Locked {
            sql::lock_transcripts(unit.connection(), company_id, &names).await?;
        }
        let found = sql::transcripts(unit.connection(), company_id, &names).await?;
        // On the locked path a call may run for the second time.
        let mut known = HashMap::new();
        if path == WritePath::Locked {
            let ids: Vec<(Uuid, Uuid)> = found.iter().map(|(place, call)| (call.id, calls[*place].id)).collect();
            let messages = sql::known_messages(unit.connection(), company_id, &ids).await?;
            known.extend(messages.into_iter().map(|message| (message.id, message)));
        }
        let mut drafts: BTreeMap<Uuid, Draft> = BTreeMap::new();
        let mut outcomes: Vec<(Option<Uuid>, Result<CallMessage>)> =
            calls.iter().map(|_| (None, Err(Error::not_found("call")))).collect();
        for (place, call) in found {
            let id = call.id;
            let draft = drafts.entry(id).or_insert_with(|| Draft::new(call));
            let outcome = match known.remove(&calls[place].id) {
                Some(message) => Ok(message),
                None => draft.append(&calls[place])?,
            };
            outcomes[place] = (Some(id), outcome);
        }
        refuse_undialled(unit, calls, &mut outcomes).await?;
        let drafts: Vec<Draft> = drafts.into_values().filter(|draft| !draft.added.is_empty()).collect();
        let mut unwritten: HashSet<Uuid> = drafts.iter().map(|draft| draft.call.id).collect();
        if !drafts.is_empty() {
            for written in sql::write_messages(unit.connection(), company_id, &drafts).await? {
                unwritten.remove(&written);
            }
        }
        for draft in drafts.into_iter().filter(|draft| !unwritten.contains(&draft.call.id)) {
            unit.changes_written(draft.changes);
        }
        let outcome = |(id, outcome): (Option<Uuid>, Result<CallMessage>)| match id {
            Some(subject) if unwritten.contains(&subject) => CallOutcome::PremiseFailed { subject },
            _ => CallOutcome::Decided(outcome),
        };
        Ok(outcomes.into_iter().map(outcome).collect())
    }
}

/// Tells calls that are not known from those that have no transcript yet, because nobody has dialled them.
async fn refuse_undialled(
    unit: &mut Unit<'_>,
    calls: &[Arc<AppendMessage>],
    outcomes: &mut [(Option<Uuid>, Result<CallMessage>)],
) -> Result<()> {
    let by_id = |(call, (found, _)): (&Arc<AppendMessage>, &(Option<Uuid>, _))| match &call.new.name {
        CallName::Id(id) if found.is_none() => Some(*id),
        _ => None,
    };
    let missing: Vec<Uuid> = calls.iter().zip(outcomes.iter()).filter_map(by_id).collect();
    let Some(company_id) = calls.first().map(|call| call.company_id).filter(|_| !missing.is_empty()) else {
        return Ok(());
    };
    let waiting = sql::find_calls(unit.connection(), company_id, &missing).await?;
    for (call, outcome) in calls.iter().zip(outcomes) {
        if waiting.iter().any(|waiting| call.new.name == CallName::Id(waiting.id)) && outcome.0.is_none() {
            outcome.1 = Err(Error::conflict("the call was not dialled"));
        }
    }
    Ok(())
}

/// A call and what a batch has added to its transcript so far.
pub(super) struct Draft {
    pub(super) call: Transcript,
    pub(super) added: Vec<CallMessage>,
    pub(super) changes: Changes,
}

impl Draft {
    fn new(call: Transcript) -> Self {
        Self { call, added: Vec::new(), changes: Changes::default() }
    }

    /// Decides one message. The outer error is a fault of the server.
    fn append(&mut self, message: &AppendMessage) -> Result<Result<CallMessage>> {
        if self.call.finalized_at.is_some() {
            return Ok(Err(Error::conflict("the call is finalized")));
        }
        if self.call.status == CallStatus::Queued {
            return Ok(Err(Error::conflict("the call is queued and was not dialled")));
        }
        let AppendMessage { company_id, actor, id, new: NewCallMessage { role, text, .. } } = message;
        // At most as many as a batch has calls.
        let added = i32::try_from(self.added.len()).unwrap_or(i32::MAX);
        let written = CallMessage {
            company_id: *company_id,
            call_id: self.call.id,
            number: self.call.messages + added + 1,
            id: *id,
            role: role.clone(),
            text: text.clone(),
            inserted_at: self.call.now,
        };
        let subject = Subject::new(CALL_MESSAGES, self.call.id);
        let event = NewEvent::new(*company_id, subject, written.number, MESSAGE_ADDED, Some(actor), &written, None)?;
        self.changes.event(event.scoped_by(&[])?);
        self.changes.count("switchboard_call_messages_total", &[]);
        self.added.push(written.clone());
        Ok(Ok(written))
    }
}

/// A message under a client's key, in a transaction of its own.
struct AppendOnce(Arc<AppendMessage>);

/// Where a message is, as it is kept under a client's key: its text is not stored twice.
#[derive(Debug, Serialize, Deserialize)]
struct Appended {
    call_id: Uuid,
    number: i32,
    /// A repeat reads it.
    #[serde(skip)]
    message: Option<CallMessage>,
}

impl Verb for AppendOnce {
    type Outcome = Appended;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Appended> {
        let outcomes = AppendMessage::run(&[Arc::clone(&self.0)], unit, WritePath::Locked).await?;
        match outcomes.into_iter().next() {
            Some(CallOutcome::Decided(message)) => {
                let message = message?;
                Ok(Appended { call_id: message.call_id, number: message.number, message: Some(message) })
            }
            _ => Err(Error::internal("a message was not written although its call was locked")),
        }
    }

    fn lines(&self) -> Lines {
        self.0.lines()
    }
}

impl Calls {
    /// Writes into a call's transcript; see the module.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `NOT_FOUND`; `CONFLICT` for a call that is finalized or queued;
    /// `IDEMPOTENCY_MISMATCH`.
    #[tracing::instrument(name = "call.append", skip_all)]
    pub async fn append(
        &self,
        reading: &Reading,
        principal: &Principal,
        new: NewCallMessage,
        key: Option<&str>,
    ) -> Result<CallMessage> {
        rights::require(principal)?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        let new_key = |key| IdempotencyKey::new(company_id, &rights::name(principal), "appendCallMessage", key, &new);
        let key = key.map(new_key).transpose()?;
        let message = AppendMessage { company_id, actor, id: clock::new_id(), new };
        let Some(key) = key else {
            return self.work.in_line(message.lines(), self.appends.run(message)).await;
        };
        let verb = AppendOnce(Arc::new(message));
        let Appended { call_id, number, message } = self.work.run(Idempotent { key, verb }).await?;
        match message {
            Some(message) => Ok(message),
            None => self.message(reading, company_id, call_id, number).await,
        }
    }
}
