//! `heartbeatPing`: a participant is there. Heartbeats write no events and are gathered: one statement for all that
//! arrived during the last one. Each is acknowledged after its row is committed and flushed.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Sessions, call, rights, sql};
use crate::platform::{
    auth::Principal,
    batch::{Batched, CallOutcome, Outcomes, WritePath},
    error::{Code, Result},
    unit::Unit,
};

/// One heartbeat.
#[derive(Debug)]
pub(super) struct Heartbeat {
    company_id: Uuid,
    /// Claim `sub` of the caller.
    caller: String,
    session: String,
    user: String,
}

/// The result of `heartbeat_ping`.
#[derive(Deserialize)]
struct Ping {
    #[serde(with = "time::serde::rfc3339")]
    ping_time: OffsetDateTime,
}

impl Heartbeat {
    /// Runs it alone: who was thought to be gone comes back under the session's lock.
    async fn alone(&self, unit: &mut Unit<'_>) -> Result<OffsetDateTime> {
        let result = sql::heartbeat_ping(unit.connection(), self.company_id, &self.session, &self.user).await?;
        unit.mark_changed();
        Ok(call::decoded::<Ping>(result)?.ping_time)
    }
}

impl Batched for Heartbeat {
    const KIND: &'static str = "heartbeatPing";
    type Outcome = OffsetDateTime;

    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn caller(&self) -> Option<&str> {
        Some(&self.caller)
    }

    /// Stands for the session: those who come back wait for its lock together.
    fn subject(&self) -> Uuid {
        let mut hasher = DefaultHasher::new();
        self.session.hash(&mut hasher);
        Uuid::from_u64_pair(hasher.finish(), 0)
    }

    async fn run(calls: &[Arc<Self>], unit: &mut Unit<'_>, path: WritePath) -> Result<Outcomes<OffsetDateTime>> {
        let mut outcomes = Vec::with_capacity(calls.len());
        match (path, calls.first()) {
            (WritePath::Guarded, Some(first)) => {
                let sessions: Vec<&str> = calls.iter().map(|call| &*call.session).collect();
                let users: Vec<&str> = calls.iter().map(|call| &*call.user).collect();
                let heard = sql::heartbeat_pings(unit.connection(), first.company_id, &sessions, &users).await?;
                for (call, at) in calls.iter().zip(heard) {
                    outcomes.push(match at {
                        Some(at) => CallOutcome::Decided(Ok(at)),
                        None => CallOutcome::PremiseFailed { subject: call.subject() },
                    });
                }
            }
            _ => {
                for call in calls {
                    match call.alone(unit).await {
                        // The transaction has failed: each call runs in one of its own.
                        Err(error) if matches!(error.code(), Code::Unavailable | Code::Internal) => return Err(error),
                        outcome => outcomes.push(CallOutcome::Decided(outcome)),
                    }
                }
            }
        }
        Ok(outcomes)
    }
}

impl Sessions {
    /// Notes that a participant is there; brings it back if it was thought to be gone.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `NOT_FOUND`, `CONFLICT` when the session has ended, `FORBIDDEN`.
    pub async fn heartbeat(
        &self,
        principal: &Principal,
        session_id: String,
        user_id: String,
    ) -> Result<OffsetDateTime> {
        rights::may_report(principal, &session_id, &user_id)?;
        let (company_id, caller) = (principal.company_id, principal.subject.clone());
        let heard = self.heartbeats.run(Heartbeat { company_id, caller, session: session_id, user: user_id }).await;
        let outcome = heard.as_ref().map_or_else(|error| error.code().as_str(), |_| "heard");
        metrics::counter!("switchboard_session_heartbeats_total", "outcome" => outcome).increment(1);
        heard
    }
}
