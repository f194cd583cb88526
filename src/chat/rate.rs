//! `createRate`: the customer rates a chat that was held, from 1 to 5. A second rating replaces the first.

use uuid::Uuid;

use super::{
    Chats,
    decision::Decision,
    events,
    record::ChatRecord,
    rights::{self, Action},
    verb::{Invocation, RaceVerb, Target},
};
use crate::platform::{
    auth::Principal,
    error::{Error, Result},
};

/// A call of `createRate`.
#[derive(Debug)]
pub(super) struct RateChat {
    principal: Principal,
    chat_id: Uuid,
    rating: i32,
}

impl RaceVerb for RateChat {
    const KIND: &'static str = "create_rate";
    type Outcome = ChatRecord;

    fn invocation(&self) -> Invocation<'_> {
        Invocation::of(&self.principal, Target::RaceOf(self.chat_id))
    }

    fn decide(&self, decision: &mut Decision<'_>) -> Result<ChatRecord> {
        let chat = decision.visible_chat(&self.principal, self.chat_id)?;
        if chat.started_at.is_none() {
            return Err(Error::conflict("the chat was never started"));
        }
        if chat.rating != Some(self.rating) {
            decision.change_chat(chat.id, events::CHAT_RATED, |chat| chat.rating = Some(self.rating));
        }
        decision.visible_chat(&self.principal, self.chat_id)
    }
}

impl Chats {
    /// The customer rates a chat that was held; `rating` is 1 to 5.
    ///
    /// # Errors
    /// `FORBIDDEN` for agents and participants, `NOT_FOUND` for a chat that the caller may not see, `CONFLICT` for one
    /// that was never started.
    #[tracing::instrument(name = "chat.rate", skip_all, fields(chat.id = %chat_id))]
    pub async fn rate(&self, principal: &Principal, chat_id: Uuid, rating: i32) -> Result<ChatRecord> {
        rights::may(principal, Action::RateChat)?;
        self.calls.create_rate.run(RateChat { principal: principal.clone(), chat_id, rating }).await
    }
}
