//! How `startChat`, `endChat` and `updateChat` meet the line of their chat.
//!
//! They leave no lease. A race whose lines were never granted spares them the line. Else they read it together with the
//! race. Either way their write fails if the line was granted to somebody since: each grant marks the race and raises its
//! revision.
//!
//! ```text
//! nobody holds it                       ─► go on
//! the caller's grant is the holder's    ─► go on, inside
//! the caller itself holds it, same type ─► go on, inside
//! the caller itself, opposite type      ─► CONFLICT: it would wait for itself
//! a grant that is not the holder's      ─► CONFLICT
//! anybody else, of either type          ─► wait in the line, go on with the grant, give the line back
//! ```

use std::{future::Future, time::Duration};

use uuid::Uuid;

use super::{Completion, Operations, line::LineKey, rights, rules::CallType, sql::HolderRow};
use crate::platform::{
    auth::Principal,
    error::{Code, Error, Result},
};

/// Longest time that a mutation waits for its turn.
const WAIT: Duration = Duration::from_secs(10);
/// Lease of a mutation that had to wait, in milliseconds: as long as its longest run.
const LEASE_MS: i32 = 10_000;

/// A grant as a caller hands it over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantToken {
    /// The request that holds the line.
    pub request_id: String,
    /// Its fencing token; `None` for one that is none of ours.
    pub token: Option<i64>,
}

/// What a mutation shows at the line.
#[derive(Debug, Clone)]
pub struct Pass {
    /// What the mutation does.
    pub call_type: CallType,
    /// The caller, as the owner of its requests.
    principal: String,
    grant: Option<GrantToken>,
}

impl Pass {
    /// The pass of a caller's mutation.
    pub fn new(principal: &Principal, call_type: CallType, grant: Option<GrantToken>) -> Self {
        Self { call_type, principal: rights::name(principal), grant }
    }

    /// Decides over the live holder of the line.
    ///
    /// # Errors
    /// `OPERATION_IN_PROGRESS` if the mutation has to wait in the line; [`Operations::in_turn`] never lets it out.
    /// `CONFLICT` for a grant that is not the holder's, and for a caller that would wait for itself.
    pub fn check(&self, holder: Option<&HolderRow>) -> Result<()> {
        let Some(HolderRow { call_type, principal, request_id, token, .. }) = holder else {
            return match self.grant {
                Some(_) => Err(stale()),
                None => Ok(()),
            };
        };
        let is_own = *principal == self.principal;
        match &self.grant {
            Some(grant) if is_own && grant.request_id == *request_id && grant.token == Some(*token) => Ok(()),
            Some(_) => Err(stale()),
            None if is_own && *call_type == self.call_type => Ok(()),
            None if is_own => {
                Err(Error::conflict(format!("you hold this chat for {}: pass your grant", call_type.name())))
            }
            None => Err(Error::new(Code::OperationInProgress, "another call holds this chat")),
        }
    }
}

fn stale() -> Error {
    Error::conflict("the grant is stale: nothing of this requestId and fencingToken is held")
}

impl Operations {
    /// Runs a mutation of a chat when it is its turn. `run` gets the pass to show.
    ///
    /// # Errors
    /// The mutation's; `WAIT_TIMEOUT` if its turn does not come within 10 s; `CONFLICT` as [`Pass::check`].
    pub async fn in_turn<T, F: Future<Output = Result<T>>>(
        &self,
        principal: &Principal,
        chat_id: Uuid,
        call_type: CallType,
        grant: Option<GrantToken>,
        run: impl Fn(Pass) -> F,
    ) -> Result<T> {
        match run(Pass::new(principal, call_type, grant)).await {
            Err(error) if error.code() == Code::OperationInProgress => {}
            outcome => return outcome,
        }
        let chat_id = chat_id.to_string();
        let key = LineKey::new(principal.company_id, &chat_id);
        let request = self.own_request(principal, call_type, WAIT, LEASE_MS);
        let granted = self.enter(principal, key, request).await?;
        let token = Some(granted.token);
        let grant = GrantToken { request_id: granted.request_id.clone(), token };
        let outcome = run(Pass::new(principal, call_type, Some(grant))).await;
        let succeeded = outcome.is_ok();
        let completion = Completion { call_type, request_id: granted.request_id, chat_id, token, succeeded };
        // If this fails, the line is free when the lease ends. The mutation has had its effect all the same.
        if let Err(error) = self.complete(principal, completion).await {
            tracing::warn!(error = error.chain(), "a mutation could not give its line back");
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(principal: &str, call_type: CallType, grant: Option<(&str, i64)>) -> Pass {
        let grant = grant.map(|(request, token)| GrantToken { request_id: request.to_owned(), token: Some(token) });
        Pass { call_type, principal: principal.to_owned(), grant }
    }

    #[test]
    fn a_mutation_runs_inside_its_own_hold_only() {
        let holder = HolderRow {
            chat_id: "chat".to_owned(),
            call_type: CallType::StartChat,
            principal: "agent:ada".to_owned(),
            request_id: "one".to_owned(),
            token: 7,
        };
        let start = CallType::StartChat;
        let code = |pass: Pass, holder: Option<&HolderRow>| pass.check(holder).err().map(|error| error.code());
        assert_eq!(code(pass("agent:ben", start, None), None), None);
        assert_eq!(code(pass("agent:ben", start, None), Some(&holder)), Some(Code::OperationInProgress));
        assert_eq!(code(pass("agent:ben", CallType::EndChat, None), Some(&holder)), Some(Code::OperationInProgress));
        assert_eq!(code(pass("agent:ada", start, None), Some(&holder)), None);
        assert_eq!(code(pass("agent:ada", CallType::EndChat, None), Some(&holder)), Some(Code::Conflict));
        assert_eq!(code(pass("agent:ada", CallType::EndChat, Some(("one", 7))), Some(&holder)), None);
        for (principal, request, token) in [("agent:ben", "one", 7), ("agent:ada", "two", 7), ("agent:ada", "one", 6)] {
            assert_eq!(code(pass(principal, start, Some((request, token))), Some(&holder)), Some(Code::Conflict));
        }
        assert_eq!(code(pass("agent:ada", start, Some(("one", 7))), None), Some(Code::Conflict));
    }
}
