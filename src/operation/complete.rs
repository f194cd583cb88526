//! `completeChatCall`: gives the line back, and hands it to the first waiter in the same write.

use uuid::Uuid;

use super::{
    Operations,
    line::{Decision, LineKey},
    rights,
    rules::{CallType, Release},
    verb::LineVerb,
    wait,
};
use crate::platform::{auth::Principal, clock, error::Result};

/// A call of `completeChatCall`.
#[derive(Debug, Clone)]
pub struct Completion {
    /// What was held.
    pub call_type: CallType,
    /// The request that holds it.
    pub request_id: String,
    /// Whose line: a chat here, or an id from elsewhere.
    pub chat_id: String,
    /// The grant's token; `None` for one that is none of ours.
    pub token: Option<i64>,
    /// False if what the line was held for has failed.
    pub succeeded: bool,
}

/// What became of a completion.
struct Completed {
    /// The caller held the line.
    was_held: bool,
    /// The attempt that holds the line now, if it has waited and does not know.
    handed_to: Option<Uuid>,
}

struct Complete {
    key: LineKey,
    principal: Principal,
    release: Release,
}

impl LineVerb for Complete {
    type Outcome = Completed;

    fn key(&self) -> &LineKey {
        &self.key
    }

    fn request(&self) -> (&str, &str) {
        (&self.release.principal, &self.release.request_id)
    }

    fn caller(&self) -> Option<&str> {
        Some(&self.principal.subject)
    }

    fn may_release(&self) -> bool {
        true
    }

    fn decide(&self, decision: &mut Decision) -> Result<Completed> {
        let was_held =
            rights::sees(&self.principal, decision.parties.as_ref()) && decision.draft.complete(&self.release);
        let label = if was_held { "completed" } else { "not_held" };
        decision.count("switchboard_operation_completions_total", label);
        let holder = decision.draft.line.holder.as_ref().filter(|holder| holder.claim_by.is_some());
        Ok(Completed { was_held, handed_to: holder.map(|holder| holder.attempt) })
    }
}

impl Operations {
    /// Gives the line back. False if nothing of that type, request and token is held by the caller; then nothing changes.
    ///
    /// # Errors
    /// `FORBIDDEN` for participants.
    #[tracing::instrument(name = "operation.complete", skip_all, fields(chat.id = %completion.chat_id))]
    pub async fn complete(&self, principal: &Principal, completion: Completion) -> Result<bool> {
        rights::may_coordinate(principal)?;
        let Some(token) = completion.token else { return Ok(false) };
        let Completion { call_type, request_id, chat_id, succeeded, .. } = completion;
        let key = LineKey::new(principal.company_id, &chat_id);
        let (call, holder) = (clock::new_id(), rights::name(principal));
        let release = Release { call, principal: holder, call_type, request_id, token, succeeded };
        let company_id = key.company_id;
        let Completed { was_held, handed_to } =
            self.run(Complete { key, principal: principal.clone(), release }).await?;
        if let Some(attempt) = handed_to {
            // It may wait on this server. On another one it is woken by its event.
            self.hub.wake(&wait::interest(company_id, attempt));
        }
        Ok(was_held)
    }
}
