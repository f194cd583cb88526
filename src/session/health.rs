//! `updateSessionHealth`, and what is read of health.

use serde::Deserialize;
use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Sessions,
    call::{self, FunctionCall},
    record::{AlertRecord, QualityRecord},
    rights,
    rules::HealthStatus,
    sql,
};
use crate::platform::{auth::Principal, batch::Reading, error::Result, unit::Lines};

/// What a report of health came to.
#[derive(Debug, Clone, Deserialize)]
pub struct Reported {
    /// The participant's status now, in lower case.
    pub connection_status: String,
    /// The time of the report.
    #[serde(with = "time::serde::rfc3339")]
    pub last_ping: OffsetDateTime,
}

/// Who of a session is silent.
#[derive(Debug, Clone, Deserialize)]
pub struct Stale {
    /// True if anybody is.
    pub stale_users_detected: bool,
    /// The participants that are silent.
    pub stale_user_ids: Vec<String>,
    /// Two or more, and at least half.
    pub recovery_needed: bool,
}

/// The health of a session's participants.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// At most 1,000 of them.
    pub users: Vec<UserHealth>,
    /// Figures about all.
    pub stats: Stats,
    /// When this was read.
    #[serde(with = "time::serde::rfc3339")]
    pub generated_at: OffsetDateTime,
}

/// The health of one participant.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "as the columns of session_health")]
pub struct UserHealth {
    pub user_id: String,
    pub connection_status: String,
    pub video_quality: Option<String>,
    pub audio_quality: Option<String>,
    pub network_latency: Option<i32>,
    pub packet_loss_percent: Option<f64>,
    pub jitter: Option<i32>,
    pub bandwidth_kbps: Option<i32>,
    pub score: Option<f64>,
    pub ping_age_seconds: f64,
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_ping: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub connected_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    pub disconnected_at: Option<OffsetDateTime>,
    pub device_type: Option<String>,
    pub network_type: Option<String>,
}

/// Figures about a session's participants.
#[derive(Debug, Clone, Deserialize, async_graphql::SimpleObject)]
#[graphql(name = "SessionHealthStats")]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Participants with health of the last 24 hours.
    pub total_users: i32,
    /// Those whose status is CONNECTED.
    pub connected_users: i32,
    /// Those whose status is RECONNECTING.
    pub reconnecting_users: i32,
    /// Those whose status is FAILED.
    pub failed_users: i32,
    /// Those who are silent and have not said that they leave.
    pub stale_connections: i32,
    /// The mean of the last round trips, in milliseconds.
    pub avg_latency: Option<f64>,
    /// The mean of the last packet losses, in percent.
    pub avg_packet_loss: Option<f64>,
    /// The mean of the last bandwidths, in kbit/s.
    pub avg_bandwidth: Option<f64>,
}

/// The result of `recommend_quality_recovery`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Recommended {
    should_recover: bool,
    recommendation: String,
    metrics: Value,
}

impl From<Recommended> for QualityRecord {
    fn from(Recommended { should_recover, recommendation, metrics }: Recommended) -> Self {
        Self { should_recover, recommendation, metrics }
    }
}

/// A call of `update_session_health`.
struct UpdateHealth {
    company_id: Uuid,
    caller: String,
    session_id: String,
    user_id: String,
    status: HealthStatus,
    metrics: Option<Value>,
    epoch: Option<i32>,
}

impl FunctionCall for UpdateHealth {
    const FUNCTION: &'static str = "update_session_health";
    type Outcome = Reported;

    async fn call(&self, connection: &mut PgConnection) -> Result<Value> {
        let Self { company_id, session_id, user_id, status, metrics, epoch, .. } = self;
        let (status, metrics) = (status.as_str(), metrics.as_ref());
        sql::update_session_health(connection, *company_id, session_id, user_id, status, metrics, *epoch).await
    }

    fn lines(&self) -> Lines {
        call::lines(self.company_id, &self.session_id, &self.caller)
    }
}

impl Sessions {
    /// Takes a participant's health: its status and, at will, one sample of quality.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `NOT_FOUND`, `CONFLICT` when the session has ended, `FORBIDDEN`.
    pub async fn update_health(
        &self,
        principal: &Principal,
        session_id: &str,
        user_id: &str,
        status: HealthStatus,
        metrics: Option<&Value>,
        epoch: Option<i32>,
    ) -> Result<Reported> {
        rights::may_report(principal, session_id, user_id)?;
        let (company_id, caller) = (principal.company_id, principal.subject.clone());
        let (session_id, user_id, metrics) = (session_id.to_owned(), user_id.to_owned(), metrics.cloned());
        self.call(UpdateHealth { company_id, caller, session_id, user_id, status, metrics, epoch }).await
    }

    /// The health of a session's participants; empty for an unknown session.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub async fn health(&self, reading: &Reading, principal: &Principal, session_id: &str) -> Result<Overview> {
        rights::may_read(principal, Some(session_id))?;
        self.loaders.overview(reading, principal.company_id, session_id).await
    }

    /// Who of a session is silent; nobody in an unknown session.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub async fn stale(&self, reading: &Reading, principal: &Principal, session_id: &str) -> Result<Stale> {
        rights::may_read(principal, Some(session_id))?;
        self.loaders.stale(reading, principal.company_id, session_id).await
    }

    /// Whether the quality of a session is a reason to leave its provider, as of now.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub async fn quality(&self, reading: &Reading, principal: &Principal, session_id: &str) -> Result<QualityRecord> {
        rights::may_read(principal, Some(session_id))?;
        self.loaders.quality(reading, principal.company_id, session_id).await
    }

    /// The alerts of a session that hold now.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub async fn alerts(&self, reading: &Reading, principal: &Principal, session_id: &str) -> Result<Vec<AlertRecord>> {
        rights::may_read(principal, Some(session_id))?;
        self.loaders.alerts(reading, principal.company_id, session_id).await
    }
}
