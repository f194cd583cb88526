//! `coordinateProviderRecovery`: everybody leaves a provider together, once for each failure.

use serde::Deserialize;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Sessions,
    call::{self, FunctionCall},
    rights,
    rules::{RecoveryKind, RecoveryOutcome},
    sql,
};
use crate::platform::{auth::Principal, error::Result, unit::Lines};

/// A report that a provider fails.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// The session, by the id that its clients chose.
    pub session_id: String,
    /// The provider that fails.
    pub failed_provider: String,
    /// Who reports it.
    pub initiated_by: String,
    /// The epoch that the report is about, if the caller knows it.
    pub epoch: Option<i32>,
    /// In the caller's words.
    pub reason: Option<String>,
    /// Whether it does not work at all.
    pub kind: RecoveryKind,
}

/// What became of a report, and what is in force now.
#[derive(Debug, Clone, Deserialize)]
pub struct Recovered {
    /// What became of it.
    pub outcome: RecoveryOutcome,
    /// The provider that the report says has failed.
    pub failed_provider: String,
    /// Everybody's provider now.
    pub new_provider: Option<String>,
    /// The room in which all participants meet.
    pub room_id: Option<String>,
    /// Who was connected when the provider was left.
    pub affected_users: Vec<String>,
    /// The participant that reported it.
    pub initiated_by: String,
    /// Why the provider was left, or was not.
    pub recovery_reason: String,
    /// The present epoch.
    pub epoch: i32,
}

/// A call of `coordinate_provider_recovery`.
struct Recover {
    company_id: Uuid,
    caller: String,
    recovery: Recovery,
}

impl FunctionCall for Recover {
    const FUNCTION: &'static str = "coordinate_provider_recovery";
    type Outcome = Recovered;

    async fn call(&self, connection: &mut PgConnection) -> Result<Value> {
        sql::coordinate_provider_recovery(connection, self.company_id, &self.recovery).await
    }

    fn lines(&self) -> Lines {
        call::lines(self.company_id, &self.recovery.session_id, &self.caller)
    }
}

impl Sessions {
    /// Takes everybody off a failed provider, if the report is about the present choice.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `NOT_FOUND`, `CONFLICT` when nothing is chosen or the session has ended, `FORBIDDEN`.
    pub async fn recover(&self, principal: &Principal, recovery: &Recovery) -> Result<Recovered> {
        rights::may_report(principal, &recovery.session_id, &recovery.initiated_by)?;
        let (company_id, caller) = (principal.company_id, principal.subject.clone());
        let recovered = self.call(Recover { company_id, caller, recovery: recovery.clone() }).await?;
        metrics::counter!("switchboard_session_recoveries_total", "outcome" => recovered.outcome.label()).increment(1);
        Ok(recovered)
    }
}
