//! `startChat`: the agent accepts the offer, and the first one of a race wins.
//!
//! In one transaction the chat is STARTED, the other offers are withdrawn, the headline becomes the first message, and
//! all timers go. Later calls change nothing and get what the chat came to.

use uuid::Uuid;

use super::{
    Chats,
    decision::Decision,
    events,
    message::MessageRecord,
    record::{ChatRecord, RaceRecord},
    rights::{self, Action},
    rules::{self, ChatStatus, CloseReason, RaceState, StartOutcome},
    verb::{Invocation, RaceVerb, Target},
};
use crate::{
    operation::{Pass, rules::CallType},
    platform::{
        auth::Principal,
        error::{Error, Result},
    },
};

/// The outcome of `startChat`.
#[derive(Debug, Clone)]
pub struct StartedChat {
    /// Whether this call won.
    pub outcome: StartOutcome,
    /// As it is after the call.
    pub chat: ChatRecord,
    /// As it is after the call.
    pub race: RaceRecord,
}

/// A call of `startChat`.
#[derive(Debug)]
pub(super) struct StartChat {
    principal: Principal,
    chat_id: Uuid,
    pass: Pass,
}

impl RaceVerb for StartChat {
    const KIND: &'static str = "start_chat";
    type Outcome = StartedChat;

    fn invocation(&self) -> Invocation<'_> {
        Invocation::of(&self.principal, Target::RaceOf(self.chat_id))
    }

    fn line(&self) -> Option<Uuid> {
        Some(self.chat_id)
    }

    fn decide(&self, decision: &mut Decision<'_>) -> Result<StartedChat> {
        start(decision, &self.principal, self.chat_id, &self.pass)
    }
}

/// Starts the chat if the caller may see it and its race is open. The contract may have gone to another agent since the
/// call came in.
pub(super) fn start(
    decision: &mut Decision<'_>,
    principal: &Principal,
    chat_id: Uuid,
    pass: &Pass,
) -> Result<StartedChat> {
    let chat = decision.visible_chat(principal, chat_id)?;
    decision.pass_line(chat_id, pass)?;
    let outcome = rules::start(chat.status, chat.close_reason);
    if outcome == StartOutcome::Started {
        win(decision, &chat);
    }
    decision.count("switchboard_chat_starts_total", &[("outcome", outcome.as_str())]);
    let race = decision.race_or("chat")?;
    let chat = race.chat(chat_id).ok_or_else(|| Error::not_found("chat"))?;
    Ok(StartedChat { outcome, chat: chat.clone(), race: race.record.clone() })
}

fn win(decision: &mut Decision<'_>, chat: &ChatRecord) {
    let now = decision.now();
    decision.add_opening(MessageRecord::opening(chat, now));
    decision.change_chat(chat.id, events::CHAT_STARTED, |chat| {
        chat.status = ChatStatus::Started;
        chat.started_at = Some(now);
        chat.message_count = 1;
    });
    decision.withdraw_offers(CloseReason::Rescinded, events::CHAT_RESCINDED);
    decision.change_race(events::RACE_WON, |race| {
        race.state = RaceState::Won;
        race.winner_id = Some(chat.id);
    });
}

impl Chats {
    /// The agent accepts the offer, without a grant; see the module.
    ///
    /// # Errors
    /// As [`Chats::start_with`].
    pub async fn start(&self, principal: &Principal, chat_id: Uuid) -> Result<StartedChat> {
        self.start_with(principal, chat_id, Pass::new(principal, CallType::StartChat, None)).await
    }

    /// The agent accepts the offer, if the chat's line lets it pass.
    ///
    /// # Errors
    /// `FORBIDDEN` for visitors and participants, `NOT_FOUND` for a chat that the caller may not see, and those of
    /// [`Pass::check`].
    #[tracing::instrument(name = "chat.start", skip_all, fields(chat.id = %chat_id))]
    pub async fn start_with(&self, principal: &Principal, chat_id: Uuid, pass: Pass) -> Result<StartedChat> {
        rights::may(principal, Action::StartChat)?;
        self.calls.start_chat.run(StartChat { principal: principal.clone(), chat_id, pass }).await
    }
}
