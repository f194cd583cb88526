//! `setSessionProviders`, and the list of providers.

use serde::de::IgnoredAny;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Sessions, call::FunctionCall, record::ProviderRecord, sql};
use crate::platform::{
    auth::{Principal, Role},
    batch::Reading,
    error::{Error, Result},
    unit::Lines,
};

/// A call of `set_session_providers`.
struct SetProviders {
    company_id: Uuid,
    names: Vec<String>,
    enabled: Vec<bool>,
    actor: String,
}

impl FunctionCall for SetProviders {
    const FUNCTION: &'static str = "set_session_providers";
    type Outcome = IgnoredAny;

    async fn call(&self, connection: &mut PgConnection) -> Result<Value> {
        sql::set_session_providers(connection, self.company_id, &self.names, &self.enabled, &self.actor).await
    }

    fn lines(&self) -> Lines {
        Lines { subject: Some((self.company_id, self.company_id)), caller: None }
    }
}

impl Sessions {
    /// The company's providers, best first.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub async fn providers(&self, reading: &Reading, principal: &Principal) -> Result<Vec<ProviderRecord>> {
        principal.require_company()?;
        self.loaders.providers(reading, principal.company_id).await
    }

    /// Sets the company's providers, in order of preference. Unlisted ones become DISABLED; sessions on them stay.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `FORBIDDEN`.
    pub async fn set_providers(
        &self,
        reading: &Reading,
        principal: &Principal,
        names: Vec<String>,
        enabled: Vec<bool>,
    ) -> Result<Vec<ProviderRecord>> {
        if principal.role != Role::Admin {
            return Err(Error::forbidden("only an admin sets the company's providers"));
        }
        let (company_id, actor) = (principal.company_id, principal.subject.clone());
        self.call(SetProviders { company_id, names, enabled, actor }).await?;
        self.providers(reading, principal).await
    }
}
