//! `completeChatCall`: gives the line back, and hands it to the first waiter in the same transaction.

use std::time::Duration;

use super::{
    Operations,
    line::{LineKey, LockedLine},
    rights,
    rules::CallType,
};
use crate::platform::{
    auth::Principal,
    error::Result,
    unit::{Lines, Unit, Verb},
};

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

struct Complete {
    key: LineKey,
    principal: Principal,
    completion: Completion,
    token: i64,
    memory: Duration,
}

impl Verb for Complete {
    type Outcome = bool;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<bool> {
        let name = rights::name(&self.principal);
        let Completion { call_type, request_id, succeeded, .. } = &self.completion;
        // A line that nobody ever entered is not created for this.
        let Some(mut locked) = LockedLine::lock_known(unit, &self.key, (&name, request_id), true).await? else {
            return Ok(false);
        };
        let completed = rights::sees(&self.principal, locked.parties.as_ref())
            && locked.draft.complete(&name, request_id, *call_type, self.token, *succeeded);
        locked.write(unit, None, self.memory).await?;
        let label = if completed { "completed" } else { "not_held" };
        unit.changes().count("switchboard_operation_completions_total", &[("outcome", label)]);
        Ok(completed)
    }

    fn lines(&self) -> Lines {
        self.key.lines(&self.principal.subject)
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
        let key = LineKey::new(principal.company_id, &completion.chat_id);
        let memory = self.settings.operation_memory;
        self.work.run(Complete { key, principal: principal.clone(), completion, token, memory }).await
    }
}
