//! `appendCallMessage`: writes into a call's transcript, until it is finalized.
//!
//! The call is locked first. An insert that relied on its foreign key alone could land after the transcript was closed.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Calls,
    locked::LockedCall,
    record::{CALL_MESSAGES, CallName, MESSAGE_ADDED},
    rights,
    rules::CallStatus,
    sql,
};
use crate::platform::{
    auth::Principal,
    clock,
    error::{Error, Result},
    event::{NewEvent, Subject},
    unit::{Lines, Unit, Verb},
};

/// A line of a transcript.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallMessage {
    /// First part of the key.
    pub company_id: Uuid,
    /// The call.
    pub call_id: Uuid,
    /// Its place, from 1 without holes; the version of its event.
    pub number: i32,
    /// The message.
    pub id: Uuid,
    /// Who spoke, in the company's words.
    pub role: String,
    /// What was said.
    pub text: String,
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
}

/// A line to write. Its fields are within their bounds.
#[derive(Debug, Clone)]
pub struct NewCallMessage {
    /// The call.
    pub name: CallName,
    /// Who spoke.
    pub role: String,
    /// What was said.
    pub text: String,
}

struct Append {
    company_id: Uuid,
    actor: String,
    id: Uuid,
    new: NewCallMessage,
}

impl Verb for Append {
    type Outcome = CallMessage;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<CallMessage> {
        let NewCallMessage { name, role, text } = &self.new;
        let locked = LockedCall::lock(unit, self.company_id, name).await?;
        let locked = locked.ok_or_else(|| Error::not_found("call"))?;
        if locked.call.finalized_at.is_some() {
            return Err(Error::conflict("the call is finalized"));
        }
        if locked.call.status == CallStatus::Queued {
            return Err(Error::conflict("the call is queued and was not dialled"));
        }
        let call_id = locked.call.id;
        let number = sql::next_message_number(unit.connection(), self.company_id, call_id).await?;
        let (role, text) = (role.clone(), text.clone());
        let (company_id, id, inserted_at) = (self.company_id, self.id, locked.now);
        let message = CallMessage { company_id, call_id, number, id, role, text, inserted_at };
        sql::insert_message(unit.connection(), &message).await?;
        let subject = Subject::new(CALL_MESSAGES, call_id);
        let event = NewEvent::new(company_id, subject, number, MESSAGE_ADDED, Some(&self.actor), &message, None)?;
        unit.changes().event(event.scoped_by(&[])?);
        unit.changes().count("switchboard_call_messages_total", &[]);
        Ok(message)
    }

    fn lines(&self) -> Lines {
        self.new.name.lines(self.company_id, &self.actor)
    }
}

impl Calls {
    /// Writes into a call's transcript; see the module.
    ///
    /// # Errors
    /// `FORBIDDEN` for others than the company's servers; `NOT_FOUND`; `CONFLICT` for a call that is finalized or queued.
    #[tracing::instrument(name = "call.append", skip_all)]
    pub async fn append(&self, principal: &Principal, new: NewCallMessage) -> Result<CallMessage> {
        rights::require(principal)?;
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        self.work.run(Append { company_id, actor, id: clock::new_id(), new }).await
    }
}
