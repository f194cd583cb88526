//! `updateChat`: how deployed widgets start, end and flag chats. A patch takes effect whole or not at all.
//!
//! STARTED is [`start`](super::start), FINISHED is [`end`](super::end), by the same functions. `missed` is a fact about
//! time: true flags an unanswered chat once its time has passed and changes nothing before; false changes nothing. The
//! texts may change until an agent has accepted the chat.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Chats,
    decision::Decision,
    end::end,
    events,
    record::{ChatRecord, Race},
    reoffer,
    rights::{self, Action},
    rules::{ChatStatus, Side, StartOutcome},
    start::start,
    verb::{Candidates, Invocation, RaceVerb, Target},
};
use crate::{
    operation::{Pass, rules::CallType},
    platform::{
        auth::Principal,
        error::{Error, Result},
    },
};

/// A change of a chat; its bounds are checked. What is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChatPatch {
    /// STARTED or FINISHED; a chat never becomes active by a patch.
    pub status: Option<ChatStatus>,
    /// True: flag the chat if its time has passed. False changes nothing: a flag stays.
    pub missed: Option<bool>,
    /// The customer's request.
    pub headline: Option<String>,
    /// The customer's name.
    pub customer_name: Option<String>,
}

/// A call of `updateChat`.
#[derive(Debug)]
pub(super) struct UpdateChat {
    principal: Principal,
    chat_id: Uuid,
    patch: ChatPatch,
    /// See the setting `SWITCHBOARD_REOFFER_GRACE`.
    grace: Duration,
    /// Set if and only if the patch has a status.
    pass: Option<Pass>,
}

impl RaceVerb for UpdateChat {
    const KIND: &'static str = "update_chat";
    type Outcome = ChatRecord;

    fn invocation(&self) -> Invocation<'_> {
        Invocation::of(&self.principal, Target::RaceOf(self.chat_id))
    }

    fn candidates(&self, race: Option<&Race>, now: OffsetDateTime) -> Candidates {
        match self.patch.status {
            Some(ChatStatus::Finished) => {
                reoffer::candidates(race, self.chat_id, rights::side(&self.principal), self.grace, now)
            }
            _ => Candidates::None,
        }
    }

    fn line(&self) -> Option<Uuid> {
        self.pass.as_ref().map(|_| self.chat_id)
    }

    fn decide(&self, decision: &mut Decision<'_>) -> Result<ChatRecord> {
        let chat = decision.visible_chat(&self.principal, self.chat_id)?;
        self.change_texts(decision, &chat)?;
        if self.patch.missed == Some(true) && is_overdue(decision, &chat) {
            flag_missed(decision, &chat);
        }
        match (self.patch.status, &self.pass) {
            (Some(ChatStatus::Started), Some(pass)) => {
                let started = start(decision, &self.principal, self.chat_id, pass)?;
                match started.outcome {
                    StartOutcome::Started | StartOutcome::AlreadyStarted => Ok(started.chat),
                    StartOutcome::LostRace => Err(Error::conflict("another agent took this customer first")),
                    StartOutcome::Closed => Err(Error::conflict("the chat is over")),
                }
            }
            (Some(ChatStatus::Finished), Some(pass)) => end(decision, &self.principal, self.chat_id, self.grace, pass),
            _ => decision.visible_chat(&self.principal, self.chat_id),
        }
    }
}

impl UpdateChat {
    fn change_texts(&self, decision: &mut Decision<'_>, chat: &ChatRecord) -> Result<()> {
        let headline = self.patch.headline.as_ref().unwrap_or(&chat.headline);
        let customer_name = self.patch.customer_name.as_ref().unwrap_or(&chat.customer_name);
        if *headline == chat.headline && *customer_name == chat.customer_name {
            return Ok(());
        }
        rights::may(&self.principal, Action::ChangeTexts)?;
        if chat.status != ChatStatus::Active {
            return Err(Error::conflict("the chat was taken or is over, its headline and customerName stay"));
        }
        decision.change_chat(chat.id, events::CHAT_UPDATED, |chat| {
            chat.headline.clone_from(headline);
            chat.customer_name.clone_from(customer_name);
        });
        Ok(())
    }
}

/// True if the agent has had the contract's time to start the chat, outages excluded.
fn is_overdue(decision: &Decision<'_>, chat: &ChatRecord) -> bool {
    let now = decision.now();
    let outage = decision.seen().and_then(|seen| seen.outage);
    chat.miss_at.is_some_and(|at| at <= now && !outage.is_some_and(|outage| outage.excuses(at, now)))
}

/// Flags an offer whose time to be answered has passed, unless it was answered, withdrawn or flagged before. Nor if its race
/// had expired by then: timers that come due together may fire in any order.
pub(super) fn flag_missed(decision: &mut Decision<'_>, chat: &ChatRecord) {
    let expires_at = decision.race().map(|race| race.record.expires_at);
    let was_over = chat.miss_at.zip(expires_at).is_some_and(|(miss_at, expires_at)| expires_at <= miss_at);
    if chat.status == ChatStatus::Active && !chat.missed && !was_over {
        decision.change_chat(chat.id, events::CHAT_MISSED, |chat| chat.missed = true);
        decision.count("switchboard_chats_missed_total", &[]);
    }
}

/// What a patch to this status does at the chat's line.
pub(super) fn line_of(status: ChatStatus) -> Option<CallType> {
    match status {
        ChatStatus::Active => None,
        ChatStatus::Started => Some(CallType::StartChat),
        ChatStatus::Finished => Some(CallType::EndChat),
    }
}

impl Chats {
    /// Applies a patch, whole or not at all; see the module. A patch with a status passes the chat's line; `pass`: as a
    /// caller without a grant unless it is given.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for a patch to active; `FORBIDDEN` for participants, for a visitor who starts and an agent who
    /// changes the customer's words; `NOT_FOUND` for a chat that the caller may not see; `CONFLICT` for a start that
    /// lost, and for texts of a chat that was accepted or is over; those of [`Pass::check`].
    #[tracing::instrument(name = "chat.update", skip_all, fields(chat.id = %chat_id))]
    pub async fn update_chat(
        &self,
        principal: &Principal,
        chat_id: Uuid,
        patch: ChatPatch,
        pass: Option<Pass>,
    ) -> Result<ChatRecord> {
        rights::may(principal, Action::UpdateChat)?;
        match patch.status {
            Some(ChatStatus::Active) => return Err(Error::invalid("patch.status", "must be STARTED or FINISHED")),
            Some(ChatStatus::Started) if rights::side(principal) == Side::Customer => {
                rights::may(principal, Action::StartChat)?;
            }
            _ => {}
        }
        let line = patch.status.and_then(line_of);
        let pass = pass.or_else(|| line.map(|call_type| Pass::new(principal, call_type, None)));
        let grace = self.settings.reoffer_grace;
        self.calls.update_chat.run(UpdateChat { principal: principal.clone(), chat_id, patch, grace, pass }).await
    }
}
