//! `cancelChatRace`: the customer leaves, and every offer is withdrawn. Once an offer was accepted this changes nothing.

use uuid::Uuid;

use super::{
    Chats,
    decision::Decision,
    events,
    record::Race,
    rights::{self, Action},
    rules::{self, CancelOutcome, CloseReason, RaceState},
    verb::{Invocation, RaceVerb, Target},
};
use crate::platform::{
    auth::Principal,
    error::{Error, Result},
};

/// A call of `cancelChatRace`.
#[derive(Debug)]
pub(super) struct CancelChatRace {
    principal: Principal,
    key: Uuid,
}

impl RaceVerb for CancelChatRace {
    const KIND: &'static str = "cancel_chat_race";
    type Outcome = (CancelOutcome, Race);

    fn invocation(&self) -> Invocation<'_> {
        Invocation::of(&self.principal, Target::Key(self.key))
    }

    fn decide(&self, decision: &mut Decision<'_>) -> Result<Self::Outcome> {
        let race = decision.race().filter(|race| rights::sees_race(&self.principal, &race.record));
        let state = race.ok_or_else(|| Error::not_found("race"))?.record.state;
        let outcome = rules::cancel(state);
        if outcome == CancelOutcome::Canceled {
            decision.withdraw_offers(CloseReason::Canceled, events::CHAT_CANCELED);
            decision.change_race(events::RACE_CANCELED, |race| race.state = RaceState::Canceled);
        }
        decision.count("switchboard_race_cancels_total", &[("outcome", outcome.as_str())]);
        Ok((outcome, decision.race_or("race")?.clone()))
    }
}

impl Chats {
    /// The customer leaves: every offer is withdrawn, with all timers.
    ///
    /// # Errors
    /// `FORBIDDEN` for agents and participants, `NOT_FOUND` for a race that the caller may not see.
    #[tracing::instrument(name = "race.cancel", skip_all)]
    pub async fn cancel_race(&self, principal: &Principal, key: Uuid) -> Result<(CancelOutcome, Race)> {
        rights::may(principal, Action::CancelRace)?;
        self.calls.cancel_chat_race.run(CancelChatRace { principal: principal.clone(), key }).await
    }
}
