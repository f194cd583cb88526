//! What one transaction changed: one event for each subject, appended together as its last statement.

use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    CHAT, CONTRACT, MESSAGES, RACE,
    contract::ContractRecord,
    message::MessageRecord,
    race::{ChatRecord, RaceRecord},
};
use crate::platform::{
    error::Result,
    event::{self, NewEvent, Subject},
};

/// The events of one transaction.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    company_id: Uuid,
    actor: Option<&'a str>,
    events: Vec<NewEvent>,
}

impl<'a> Changes<'a> {
    /// Nothing changed yet; `actor` is the caller's `sub`, `None` for a timer.
    pub(super) fn by(company_id: Uuid, actor: Option<&'a str>) -> Self {
        Self { company_id, actor, events: Vec::new() }
    }

    /// This happened to a chat.
    pub(super) fn chat(
        &mut self,
        event_type: &'static str,
        after: &ChatRecord,
        before: Option<&ChatRecord>,
    ) -> Result<()> {
        let subject = Subject::new(CHAT, after.id);
        self.events.push(NewEvent::new(
            self.company_id,
            subject,
            after.version,
            event_type,
            self.actor,
            after,
            before,
        )?);
        Ok(())
    }

    /// This happened to each of these chats, `before` among them as they were.
    pub(super) fn chats(
        &mut self,
        event_type: &'static str,
        after: &[ChatRecord],
        before: &[ChatRecord],
    ) -> Result<()> {
        after.iter().try_for_each(|chat| self.chat(event_type, chat, before.iter().find(|before| before.id == chat.id)))
    }

    /// This happened to a race.
    pub(super) fn race(
        &mut self,
        event_type: &'static str,
        after: &RaceRecord,
        before: Option<&RaceRecord>,
    ) -> Result<()> {
        let subject = Subject::new(RACE, after.key);
        self.events.push(NewEvent::new(
            self.company_id,
            subject,
            after.version,
            event_type,
            self.actor,
            after,
            before,
        )?);
        Ok(())
    }

    /// A message was added; it is the chat's `number`th.
    pub(super) fn message(&mut self, message: &MessageRecord, number: i32) -> Result<()> {
        let subject = Subject::new(MESSAGES, message.chat_id);
        let event = NewEvent::new(self.company_id, subject, number, "MessageAdded", self.actor, message, None)?;
        self.events.push(event);
        Ok(())
    }

    /// This happened to a contract.
    pub(super) fn contract(
        &mut self,
        event_type: &'static str,
        after: &ContractRecord,
        before: Option<&ContractRecord>,
    ) -> Result<()> {
        let subject = Subject::new(CONTRACT, after.id);
        self.events.push(NewEvent::new(
            self.company_id,
            subject,
            after.version,
            event_type,
            self.actor,
            after,
            before,
        )?);
        Ok(())
    }

    /// And these.
    pub(super) fn add(&mut self, events: Vec<NewEvent>) {
        self.events.extend(events);
    }

    /// For a transaction with changes of several callers, which appends all of them together.
    pub(super) fn into_events(self) -> Vec<NewEvent> {
        self.events
    }

    /// Appends them; the transaction's last statement.
    pub(super) async fn append(self, connection: &mut PgConnection) -> Result<()> {
        if self.events.is_empty() { Ok(()) } else { event::append(connection, &self.events).await }
    }
}
