//! Health in the API: heartbeats, samples, overviews, alerts, recommendations.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use serde_json::{Map, Value};

use super::{SessionContextExt as _, objects::MOST_USERS};
use crate::{
    platform::{
        error::{Error, Result},
        graphql::{
            context::ContextExt as _,
            directives,
            scalars::{Datetime, Json},
        },
    },
    session::{
        AlertRecord, Overview, QualityRecord, Stale, Stats, UserHealth as HealthRecord,
        rules::{AlertSeverity, AlertType, HealthStatus, Quality},
    },
};

/// One sample of a participant's quality.
#[derive(Debug, InputObject)]
pub struct QualityMetricsInput {
    /// Default: by latency and packet loss.
    video_quality: Option<Quality>,
    /// Default: by latency and packet loss.
    audio_quality: Option<Quality>,
    /// The round trip in milliseconds; 0 to 600,000.
    latency: Option<i32>,
    /// In percent; 0 to 100.
    packet_loss: Option<f64>,
    /// In milliseconds; 0 to 600,000.
    jitter: Option<i32>,
    /// Measured bandwidth, in kbit/s.
    bandwidth: Option<i32>,
    /// Carried, not interpreted; at most 200 characters.
    device_type: Option<String>,
    /// Carried, not interpreted.
    browser_info: Option<String>,
    /// Carried, not interpreted; at most 200 characters.
    network_type: Option<String>,
}

impl QualityMetricsInput {
    fn into_json(self) -> Value {
        let mut metrics = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                metrics.insert(name.to_owned(), value);
            }
        };
        put("videoQuality", self.video_quality.map(Quality::as_str).into());
        put("audioQuality", self.audio_quality.map(Quality::as_str).into());
        put("latency", self.latency.into());
        put("packetLoss", self.packet_loss.into());
        put("jitter", self.jitter.into());
        put("bandwidth", self.bandwidth.into());
        put("deviceType", self.device_type.into());
        put("browserInfo", self.browser_info.into());
        put("networkType", self.network_type.into());
        Value::Object(metrics)
    }
}

/// The input of `updateSessionHealth`.
#[derive(Debug, InputObject)]
pub struct UpdateSessionHealthInput {
    /// The session, by the id that its clients chose.
    session_id: ID,
    /// Whose health it is.
    user_id: ID,
    /// How the connection is.
    status: HealthStatus,
    /// One sample; absent: only the status.
    quality_metrics: Option<QualityMetricsInput>,
    /// The epoch that the report is about. One about an older epoch counts as a heartbeat.
    epoch: Option<i32>,
}

/// The result of `updateSessionHealth`.
#[derive(Debug, SimpleObject)]
pub struct UpdateSessionHealthPayload {
    /// The participant's status after the call.
    connection_status: HealthStatus,
    /// The time of the report.
    last_ping: Datetime,
}

/// The input of `heartbeatPing`.
#[derive(Debug, InputObject)]
pub struct HeartbeatPingInput {
    /// The session, by the id that its clients chose.
    session_id: ID,
    /// Who is there.
    user_id: ID,
}

/// The result of `heartbeatPing`.
#[derive(Debug, SimpleObject)]
pub struct HeartbeatPingPayload {
    /// When it was heard, in database time.
    ping_time: Datetime,
}

fn status(name: &str) -> Result<HealthStatus> {
    HealthStatus::parse(name).ok_or_else(|| Error::internal(format!("unknown health status {name}")))
}

/// Mutations of health.
#[derive(Default)]
pub struct HealthMutation;

#[Object]
impl HealthMutation {
    /// Takes a participant's health: its status and, at will, one sample of quality.
    async fn update_session_health(
        &self,
        context: &Context<'_>,
        input: UpdateSessionHealthInput,
    ) -> Result<UpdateSessionHealthPayload> {
        let UpdateSessionHealthInput { session_id, user_id, status: reported, quality_metrics, epoch } = input;
        if let Some(loss) = quality_metrics.as_ref().and_then(|metrics| metrics.packet_loss)
            && !loss.is_finite()
        {
            return Err(Error::invalid("qualityMetrics.packetLoss", "must be a number"));
        }
        let metrics = quality_metrics.map(QualityMetricsInput::into_json);
        let (principal, sessions) = (context.principal()?, context.sessions());
        let taken = sessions.update_health(principal, &session_id, &user_id, reported, metrics.as_ref(), epoch).await?;
        Ok(UpdateSessionHealthPayload {
            connection_status: status(&taken.connection_status)?,
            last_ping: taken.last_ping.into(),
        })
    }

    /// A participant is there. To be sent every 15 seconds; one that is silent for 30 seconds is disconnected. The
    /// answer means that it is committed and flushed.
    async fn heartbeat_ping(&self, context: &Context<'_>, input: HeartbeatPingInput) -> Result<HeartbeatPingPayload> {
        let (principal, sessions) = (context.principal()?, context.sessions());
        let at = Box::pin(sessions.heartbeat(principal, input.session_id.0, input.user_id.0)).await?;
        Ok(HeartbeatPingPayload { ping_time: at.into() })
    }
}

/// The health of a session's participants.
#[derive(Debug, SimpleObject)]
pub struct SessionHealthOverview {
    /// The session, by the id that its clients chose.
    session_id: ID,
    /// By user id; at most 1,000.
    #[graphql(directive = directives::list_size::apply(MOST_USERS))]
    users: Vec<UserHealth>,
    /// Figures about all of them.
    stats: Stats,
    /// When this was read, in database time.
    generated_at: Datetime,
}

impl SessionHealthOverview {
    /// What was read of a session.
    pub fn new(session_id: String, overview: Overview) -> Result<Self> {
        Ok(Self {
            session_id: ID(session_id),
            users: overview.users.into_iter().map(UserHealth::new).collect::<Result<_>>()?,
            stats: overview.stats,
            generated_at: overview.generated_at.into(),
        })
    }
}

/// The health of one participant.
#[derive(Debug, SimpleObject)]
pub struct UserHealth {
    /// The same as `userId`.
    id: ID,
    /// The participant, by the id that its clients chose.
    user_id: ID,
    /// As reported; DISCONNECTED when it is silent or has left.
    connection_status: HealthStatus,
    /// As reported, else by latency and packet loss.
    video_quality: Option<Quality>,
    /// As reported, else by latency and packet loss.
    audio_quality: Option<Quality>,
    /// The last round trip in milliseconds.
    latency: Option<i32>,
    /// The last packet loss in percent.
    packet_loss: Option<f64>,
    /// The last jitter in milliseconds.
    jitter: Option<i32>,
    /// The last bandwidth in kbit/s.
    bandwidth: Option<i32>,
    /// 0 to 93.2 by the E-model, smoothed: quickly down, slowly up.
    score: Option<f64>,
    /// The time since the last news.
    ping_age_seconds: f64,
    /// The last news.
    last_ping: Option<Datetime>,
    /// Since when it has been connected.
    connected_at: Option<Datetime>,
    /// When it was found silent, or left.
    disconnected_at: Option<Datetime>,
    /// As the participant's device reported it; null: not reported.
    device_type: Option<String>,
    /// As the participant's device reported it; null: not reported.
    network_type: Option<String>,
}

impl UserHealth {
    fn new(health: HealthRecord) -> Result<Self> {
        let quality = |name: Option<String>| name.as_deref().and_then(Quality::parse);
        Ok(Self {
            id: ID(health.user_id.clone()),
            user_id: ID(health.user_id),
            connection_status: status(&health.connection_status)?,
            video_quality: quality(health.video_quality),
            audio_quality: quality(health.audio_quality),
            latency: health.network_latency,
            packet_loss: health.packet_loss_percent,
            jitter: health.jitter,
            bandwidth: health.bandwidth_kbps,
            score: health.score,
            ping_age_seconds: health.ping_age_seconds,
            last_ping: health.last_ping.map(Datetime::from),
            connected_at: health.connected_at.map(Datetime::from),
            disconnected_at: health.disconnected_at.map(Datetime::from),
            device_type: health.device_type,
            network_type: health.network_type,
        })
    }
}

/// Who of a session is silent.
#[derive(Debug, SimpleObject)]
pub struct StaleConnections {
    /// True if anybody is silent.
    stale_users_detected: bool,
    /// Who is silent and has not said that it leaves.
    #[graphql(directive = directives::list_size::apply(MOST_USERS))]
    stale_user_ids: Vec<ID>,
    /// True if two or more are silent, and at least half.
    recovery_needed: bool,
}

impl From<Stale> for StaleConnections {
    fn from(stale: Stale) -> Self {
        Self {
            stale_users_detected: stale.stale_users_detected,
            stale_user_ids: stale.stale_user_ids.into_iter().map(ID).collect(),
            recovery_needed: stale.recovery_needed,
        }
    }
}

/// Whether the quality of a session is a reason to leave its provider.
#[derive(Debug, Clone, SimpleObject)]
pub struct QualityRecovery {
    /// True if at least half of those with a fresh sample have 3 bad ones of 5, on the present provider.
    should_recover: bool,
    /// `none`, `high_latency_detected` or `high_packet_loss_detected`.
    recommendation: Option<String>,
    /// The mean latency and packet loss, and how many users have bad samples.
    metrics: Option<Json>,
}

impl From<QualityRecord> for QualityRecovery {
    fn from(quality: QualityRecord) -> Self {
        Self {
            should_recover: quality.should_recover,
            recommendation: Some(quality.recommendation),
            metrics: Some(quality.metrics).filter(|metrics| !metrics.is_null()).map(async_graphql::Json),
        }
    }
}

/// The object `SessionHealthAlert` of the schema.
pub struct SessionHealthAlert(Arc<AlertRecord>);

impl From<Arc<AlertRecord>> for SessionHealthAlert {
    fn from(record: Arc<AlertRecord>) -> Self {
        Self(record)
    }
}

/// Something is wrong with a session's health.
#[Object]
impl SessionHealthAlert {
    /// The session's id, a colon, the type.
    async fn id(&self) -> ID {
        ID(self.0.id.clone())
    }

    /// The session, by the id that its clients chose.
    async fn session_id(&self) -> ID {
        ID(self.0.session_id.clone())
    }

    /// What is wrong.
    #[graphql(name = "type")]
    async fn alert_type(&self) -> AlertType {
        self.0.alert_type
    }

    /// ERROR from half of those present, else WARNING.
    async fn severity(&self) -> AlertSeverity {
        self.0.severity
    }

    /// How many participants it concerns.
    async fn count(&self) -> i32 {
        self.0.user_ids.len().try_into().unwrap_or(i32::MAX)
    }

    /// Which participants it concerns.
    #[graphql(directive = directives::list_size::apply(MOST_USERS))]
    async fn user_ids(&self) -> Vec<ID> {
        self.0.user_ids.iter().cloned().map(ID).collect()
    }

    /// The same in words.
    async fn message(&self) -> &str {
        &self.0.message
    }

    /// Raised by one at each change, also over several raises.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When it was last raised.
    async fn raised_at(&self) -> Datetime {
        self.0.raised_at.into()
    }

    /// When it cleared; null while it holds.
    async fn cleared_at(&self) -> Option<Datetime> {
        self.0.cleared_at.map(Datetime::from)
    }
}
