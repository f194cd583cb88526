//! Creating, listing and revoking API keys.

use time::OffsetDateTime;
use uuid::Uuid;

use super::{API_KEY_CREATED, API_KEY_REVOKED, Tenants, checked_name, sql};
use crate::platform::{
    auth::{
        Role,
        api_key::{Bearer, SUBJECT},
    },
    error::{Error, Result},
    unit::{Record, Unit, Verb},
};

/// A key as its owner may see it: all but the secret.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ApiKey {
    /// The company that its bearer acts for.
    pub company_id: Uuid,
    /// Names the key in lists and logs.
    pub id: Uuid,
    /// Its use, in its owner's words.
    pub name: String,
    /// `service` or `admin`.
    pub role: String,
    /// Version of the subject `api_key` in the event log.
    pub version: i32,
    /// When it was created, in database time.
    #[serde(with = "time::serde::rfc3339")]
    pub inserted_at: OffsetDateTime,
    /// Since when it is no longer valid.
    #[serde(with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
}

impl Record for ApiKey {
    const SUBJECT_TYPE: &'static str = SUBJECT;

    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn subject_id(&self) -> Uuid {
        self.id
    }

    fn version(&self) -> i32 {
        self.version
    }
}

struct CreateApiKey {
    bearer: Bearer,
    role: Role,
    name: String,
}

impl Verb for CreateApiKey {
    type Outcome = ApiKey;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<ApiKey> {
        let key = sql::insert_api_key(unit.connection(), &self.bearer, &self.name, self.role).await?;
        let key = key.ok_or_else(|| Error::not_found("company"))?;
        unit.changes().record(API_KEY_CREATED, None, &key, None)?;
        Ok(key)
    }
}

struct RevokeApiKey {
    company_id: Uuid,
    id: Uuid,
}

impl Verb for RevokeApiKey {
    type Outcome = bool;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<bool> {
        let revoked = sql::revoke_api_key(unit.connection(), self.company_id, self.id).await?;
        let Some(revoked) = revoked else { return Ok(false) };
        let before = ApiKey { revoked_at: None, version: revoked.version - 1, ..revoked.clone() };
        unit.changes().record(API_KEY_REVOKED, None, &revoked, Some(&before))?;
        Ok(true)
    }
}

struct ListApiKeys {
    company_id: Uuid,
}

impl Verb for ListApiKeys {
    type Outcome = Vec<ApiKey>;

    async fn run(&self, unit: &mut Unit<'_>) -> Result<Vec<ApiKey>> {
        sql::list_api_keys(unit.connection(), self.company_id).await
    }
}

impl Tenants {
    /// Creates a key. The second value is the key itself: shown once, never stored.
    ///
    /// # Errors
    /// `BAD_USER_INPUT` for another role than service or admin, or a name out of bounds; `NOT_FOUND` for the company.
    pub async fn create_api_key(&self, company_id: Uuid, role: Role, name: &str) -> Result<(ApiKey, String)> {
        let name = checked_name(name)?;
        if !matches!(role, Role::Service | Role::Admin) {
            return Err(Error::invalid("role", "an API key is for a service or an admin"));
        }
        let bearer = Bearer::new(company_id)?;
        let key = self.work.run(CreateApiKey { bearer, role, name: name.to_owned() }).await?;
        Ok((key, bearer.text()))
    }

    /// A company's keys, oldest first, at most 1,000; revoked ones too.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn api_keys(&self, company_id: Uuid) -> Result<Vec<ApiKey>> {
        self.work.run(ListApiKeys { company_id }).await
    }

    /// Revokes a key, for good. False: no such key, or already revoked.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub async fn revoke_api_key(&self, company_id: Uuid, id: Uuid) -> Result<bool> {
        self.work.run(RevokeApiKey { company_id, id }).await
    }
}
