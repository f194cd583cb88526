//! `endChat`: ends a chat that is held, or takes back an offer.
//!
//! The customer leaves, or the agent declines. A customer who takes back the last offer cancels the race; when the agents
//! have declined all of them, the race has failed. A winner whose side ends the chat at once, without having written, may
//! give way to the other offers ([`reoffer`](super::reoffer)). A chat that is over already stays as it is.

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Chats,
    decision::Decision,
    events,
    record::{ChatRecord, Race},
    reoffer,
    rights::{self, Action},
    rules::{self, CloseReason, End, RaceState, Side},
    verb::{Candidates, Invocation, RaceVerb, Target},
};
use crate::{
    operation::{Pass, rules::CallType},
    platform::{auth::Principal, error::Result},
};

/// A call of `endChat`.
#[derive(Debug)]
pub(super) struct EndChat {
    pub(super) principal: Principal,
    pub(super) chat_id: Uuid,
    /// See the setting `SWITCHBOARD_REOFFER_GRACE`.
    pub(super) grace: Duration,
    pub(super) pass: Pass,
}

impl RaceVerb for EndChat {
    const KIND: &'static str = "end_chat";
    type Outcome = ChatRecord;

    fn invocation(&self) -> Invocation<'_> {
        Invocation::of(&self.principal, Target::RaceOf(self.chat_id))
    }

    fn candidates(&self, race: Option<&Race>, now: OffsetDateTime) -> Candidates {
        reoffer::candidates(race, self.chat_id, rights::side(&self.principal), self.grace, now)
    }

    fn line(&self) -> Option<Uuid> {
        Some(self.chat_id)
    }

    fn decide(&self, decision: &mut Decision<'_>) -> Result<ChatRecord> {
        end(decision, &self.principal, self.chat_id, self.grace, &self.pass)
    }
}

/// Ends the chat if the caller may see it.
pub(super) fn end(
    decision: &mut Decision<'_>,
    principal: &Principal,
    chat_id: Uuid,
    grace: Duration,
    pass: &Pass,
) -> Result<ChatRecord> {
    let chat = decision.visible_chat(principal, chat_id)?;
    decision.pass_line(chat_id, pass)?;
    let side = rights::side(principal);
    let others_offered = decision.race_or("chat")?.is_offered(Some(chat_id));
    let Some(End { reason, race: decided }) = rules::end(chat.status, side, others_offered) else {
        decision.count("switchboard_chat_ends_total", &[("outcome", "already_ended")]);
        return Ok(chat);
    };
    let (event_type, label) = match reason {
        CloseReason::Canceled => (events::CHAT_CANCELED, "canceled"),
        _ => (events::CHAT_COMPLETED, "completed"),
    };
    decision.finish_chat(chat_id, reason, event_type);
    decision.count("switchboard_chat_ends_total", &[("outcome", label)]);
    if let Some(state) = decided {
        let event_type = if state == RaceState::Canceled { events::RACE_CANCELED } else { events::RACE_FAILED };
        decision.change_race(event_type, |race| race.state = state);
    } else if side == Side::Company {
        reoffer::reoffer(decision, &chat, grace);
    }
    decision.visible_chat(principal, chat_id)
}

impl Chats {
    /// Ends a chat that is held, or takes back an offer, without a grant; see the module.
    ///
    /// # Errors
    /// As [`Chats::end_with`].
    pub async fn end(&self, principal: &Principal, chat_id: Uuid) -> Result<ChatRecord> {
        self.end_with(principal, chat_id, Pass::new(principal, CallType::EndChat, None)).await
    }

    /// Ends a chat that is held, or takes back an offer, if the chat's line lets it pass.
    ///
    /// # Errors
    /// `FORBIDDEN` for participants, `NOT_FOUND` for a chat that the caller may not see, and those of [`Pass::check`].
    #[tracing::instrument(name = "chat.end", skip_all, fields(chat.id = %chat_id))]
    pub async fn end_with(&self, principal: &Principal, chat_id: Uuid, pass: Pass) -> Result<ChatRecord> {
        rights::may(principal, Action::EndChat)?;
        let grace = self.settings.reoffer_grace;
        self.calls.end_chat.run(EndChat { principal: principal.clone(), chat_id, grace, pass }).await
    }
}
