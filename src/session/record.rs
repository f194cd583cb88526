//! The flat records of sessions, as the payloads of events hold them. The SQL functions write the events.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::rules::{AlertSeverity, AlertType, ConnectionState, ProviderState};

/// A session without its participants, but for those that an event is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRecord {
    /// The company that it belongs to, first part of every key.
    pub company_id: Uuid,
    /// Chosen by the clients.
    pub session_id: String,
    /// `none` before the first choice.
    pub active_provider: String,
    /// What a recovery would choose.
    pub fallback_provider: Option<String>,
    /// Raised by one at every choice of provider.
    pub epoch: i32,
    /// The room of the first choice.
    pub room_id: Option<String>,
    /// Who caused the present choice.
    pub selected_by: Option<String>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339::option")]
    pub selected_at: Option<OffsetDateTime>,
    /// The provider that the present epoch left.
    pub recovery_from: Option<String>,
    /// Why it was left.
    pub recovery_reason: Option<String>,
    /// When the epoch was raised.
    #[serde(with = "time::serde::rfc3339::option")]
    pub last_provider_change: Option<OffsetDateTime>,
    /// True after a switch until everybody has joined or left.
    pub reconnection_in_progress: bool,
    /// Raised at each change of the session or of a participant's state.
    pub version: i32,
    /// When it was first named.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub ended_at: Option<OffsetDateTime>,
    /// The participants that the event is about.
    #[serde(default)]
    pub changed_users: Vec<UserRecord>,
}

/// A participant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRecord {
    /// Claim `sub` of its token.
    pub user_id: String,
    /// As shown to the others.
    pub user_name: Option<String>,
    /// As it reported; RECONNECTING when it fell silent.
    pub connection_state: ConnectionState,
    /// The provider that it last joined; `none` before.
    pub current_provider: String,
    /// As it reported.
    pub is_audio_muted: bool,
    /// As it reported.
    pub is_video_off: bool,
    /// Its last report of a state.
    #[serde(with = "time::serde::rfc3339")]
    pub last_seen: OffsetDateTime,
    /// How often it came back after it had fallen silent.
    pub reconnect_attempts: i32,
    /// Carried, not interpreted.
    pub device_info: Value,
    /// The epoch that it last joined.
    pub joined_epoch: Option<i32>,
}

/// A provider of a company.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProviderRecord {
    /// The company that it belongs to, first part of every key.
    pub company_id: Uuid,
    /// As clients name it.
    pub name: String,
    /// Order of preference, from 1.
    pub rank: i32,
    /// Whether sessions may choose it.
    pub state: ProviderState,
    /// 0 to 100.
    pub score: f64,
    /// Raised with state, rank, or 10 points of the score.
    pub version: i32,
}

/// An alert of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertRecord {
    /// The company that it belongs to, first part of every key.
    pub company_id: Uuid,
    /// The session's id, a colon, the type.
    pub id: String,
    /// The session, by the id that its clients chose.
    pub session_id: String,
    /// Which condition it warns of.
    #[serde(rename = "type")]
    pub alert_type: AlertType,
    /// How much of the session it concerns.
    pub severity: AlertSeverity,
    /// Whom it concerns.
    pub user_ids: Vec<String>,
    /// The same in words, for people to read.
    pub message: String,
    /// Raised at each change.
    pub version: i32,
    /// When it was last raised.
    #[serde(with = "time::serde::rfc3339")]
    pub raised_at: OffsetDateTime,
    /// When it cleared.
    #[serde(with = "time::serde::rfc3339::option")]
    pub cleared_at: Option<OffsetDateTime>,
}

/// Whether the quality of a session is a reason to leave its provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QualityRecord {
    /// At least half of those with a fresh sample have 3 bad ones of 5.
    pub should_recover: bool,
    /// `none`, `high_latency_detected` or `high_packet_loss_detected`.
    pub recommendation: String,
    /// Averages, and the number of users concerned.
    #[serde(default)]
    pub metrics: Value,
}

impl Default for QualityRecord {
    fn default() -> Self {
        Self { should_recover: false, recommendation: "none".to_owned(), metrics: Value::Null }
    }
}
