//! Statements on sessions, each in a file of its own. What changes a session calls the SQL function that decides it.

use serde_json::Value;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    loaders::SessionList,
    record::{AlertRecord, ProviderRecord, SessionRecord, UserRecord},
    recover::Recovery,
    rules::{AlertSeverity, AlertType, ConnectionState, ProviderState},
    settings::SessionSettings,
    state::UserState,
};
use crate::platform::error::Result;

/// Calls `select_session_provider`, which decides; a refusal is in its result.
pub(super) async fn select_session_provider(
    connection: &mut PgConnection,
    company_id: Uuid,
    session_id: &str,
    user_id: &str,
    provider: &str,
    room_id: &str,
) -> Result<Value> {
    let company = company_id.to_string();
    let call = sqlx::query_file_scalar!(
        "src/session/sql/select_session_provider.sql",
        company,
        session_id,
        user_id,
        provider,
        room_id
    );
    Ok(call.fetch_one(connection).await?)
}

/// Calls `coordinate_provider_recovery`, which decides; a refusal is in its result.
pub(super) async fn coordinate_provider_recovery(
    connection: &mut PgConnection,
    company_id: Uuid,
    recovery: &Recovery,
) -> Result<Value> {
    let company = company_id.to_string();
    let call = sqlx::query_file_scalar!(
        "src/session/sql/coordinate_provider_recovery.sql",
        company,
        recovery.session_id,
        recovery.failed_provider,
        recovery.initiated_by,
        recovery.epoch,
        recovery.reason,
        recovery.kind.as_str(),
    );
    Ok(call.fetch_one(connection).await?)
}

/// Calls `update_user_session_state`, which decides; a refusal is in its result.
pub(super) async fn update_user_session_state(
    connection: &mut PgConnection,
    company_id: Uuid,
    state: &UserState,
) -> Result<Value> {
    let company = company_id.to_string();
    let call = sqlx::query_file_scalar!(
        "src/session/sql/update_user_session_state.sql",
        company,
        state.session_id,
        state.user_id,
        state.user_name,
        state.connection_state.as_str(),
        state.current_provider,
        state.device_info,
        state.epoch,
        state.is_audio_muted,
        state.is_video_off,
    );
    Ok(call.fetch_one(connection).await?)
}

/// Calls `update_session_health`, which decides; a refusal is in its result.
pub(super) async fn update_session_health(
    connection: &mut PgConnection,
    company_id: Uuid,
    session_id: &str,
    user_id: &str,
    status: &str,
    metrics: Option<&Value>,
    epoch: Option<i32>,
) -> Result<Value> {
    let company = company_id.to_string();
    let call = sqlx::query_file_scalar!(
        "src/session/sql/update_session_health.sql",
        company,
        session_id,
        user_id,
        status,
        metrics,
        epoch
    );
    Ok(call.fetch_one(connection).await?)
}

/// Calls `heartbeat_ping`, which decides; a refusal is in its result.
pub(super) async fn heartbeat_ping(
    connection: &mut PgConnection,
    company_id: Uuid,
    session_id: &str,
    user_id: &str,
) -> Result<Value> {
    let company = company_id.to_string();
    let call = sqlx::query_file_scalar!("src/session/sql/heartbeat_ping.sql", company, session_id, user_id);
    Ok(call.fetch_one(connection).await?)
}

/// Calls `heartbeat_pings`: the time of each participant that was heard, `None` for one to be tried alone.
pub(super) async fn heartbeat_pings(
    connection: &mut PgConnection,
    company_id: Uuid,
    session_ids: &[&str],
    user_ids: &[&str],
) -> Result<Vec<Option<OffsetDateTime>>> {
    let company = company_id.to_string();
    let heard =
        sqlx::query_file!("src/session/sql/heartbeat_pings.sql", company, session_ids as &[&str], user_ids as &[&str]);
    let heard = heard.fetch_all(connection).await?;
    Ok(heard.into_iter().map(|row| row.is_heard.then_some(row.ping_time)).collect())
}

/// Calls `get_session_health_overview`, which decides; a refusal is in its result.
pub(super) async fn health_overview(
    connection: &mut PgConnection,
    company_id: Uuid,
    session_id: &str,
) -> Result<Value> {
    let company = company_id.to_string();
    let call = sqlx::query_file_scalar!("src/session/sql/get_session_health_overview.sql", company, session_id);
    Ok(call.fetch_one(connection).await?)
}

/// Calls `detect_stale_connections`, which decides; a refusal is in its result.
pub(super) async fn stale_connections(
    connection: &mut PgConnection,
    company_id: Uuid,
    session_id: &str,
) -> Result<Value> {
    let company = company_id.to_string();
    let call = sqlx::query_file_scalar!("src/session/sql/detect_stale_connections.sql", company, session_id);
    Ok(call.fetch_one(connection).await?)
}

/// Calls `recommend_quality_recovery`, which decides; a refusal is in its result.
pub(super) async fn quality_recovery(
    connection: &mut PgConnection,
    company_id: Uuid,
    session_id: &str,
) -> Result<Value> {
    let company = company_id.to_string();
    let call = sqlx::query_file_scalar!("src/session/sql/recommend_quality_recovery.sql", company, session_id);
    Ok(call.fetch_one(connection).await?)
}

/// Calls `set_session_providers`, which decides; a refusal is in its result.
pub(super) async fn set_session_providers(
    connection: &mut PgConnection,
    company_id: Uuid,
    names: &[String],
    enabled: &[bool],
    actor: &str,
) -> Result<Value> {
    let company = company_id.to_string();
    let call = sqlx::query_file_scalar!("src/session/sql/set_session_providers.sql", company, names, enabled, actor);
    Ok(call.fetch_one(connection).await?)
}

/// The sessions of these ids, as they are now; takes no lock.
pub(super) async fn find_sessions(
    connection: &mut PgConnection,
    company_id: Uuid,
    session_ids: &[String],
) -> Result<Vec<SessionRecord>> {
    let sessions = sqlx::query_file_as!(SessionRow, "src/session/sql/find_sessions.sql", company_id, session_ids);
    Ok(sessions.fetch_all(connection).await?.into_iter().map(SessionRecord::from).collect())
}

/// A page of a company's sessions, newest first.
pub(super) async fn list_sessions(connection: &mut PgConnection, list: &SessionList) -> Result<Vec<SessionRecord>> {
    let SessionList { company_id, active, provider, before, limit } = list;
    let (time, session) = before.as_ref().map(|place| (place.at, &*place.session_id)).unzip();
    let provider = provider.as_deref();
    let limit = i64::try_from(*limit).unwrap_or(i64::MAX);
    let rows = if *active == Some(true) {
        let open = sqlx::query_file_as!(
            SessionRow,
            "src/session/sql/list_open_sessions.sql",
            company_id,
            provider,
            time,
            session,
            limit
        );
        open.fetch_all(connection).await?
    } else {
        let all = sqlx::query_file_as!(
            SessionRow,
            "src/session/sql/list_sessions.sql",
            company_id,
            *active,
            provider,
            time,
            session,
            limit
        );
        all.fetch_all(connection).await?
    };
    Ok(rows.into_iter().map(SessionRecord::from).collect())
}

/// The participant of this id in a session, as it is now; takes no lock.
pub(super) async fn find_user(
    connection: &mut PgConnection,
    company_id: Uuid,
    session_id: &str,
    user_id: &str,
) -> Result<Option<UserRecord>> {
    let user = sqlx::query_file_as!(UserRecord, "src/session/sql/find_user.sql", company_id, session_id, user_id);
    Ok(user.fetch_optional(connection).await?)
}

/// The participants of sessions, at most `limit` of each; with the session's id.
pub(super) async fn users_of_sessions(
    connection: &mut PgConnection,
    company_id: Uuid,
    session_ids: &[String],
    limit: i64,
) -> Result<Vec<(String, UserRecord)>> {
    let users = sqlx::query_file!("src/session/sql/users_of_sessions.sql", company_id, session_ids, limit);
    let with_session = users.fetch_all(connection).await?.into_iter().map(|row| {
        let user = UserRecord {
            user_id: row.user_id,
            user_name: row.user_name,
            connection_state: row.connection_state,
            current_provider: row.current_provider,
            is_audio_muted: row.is_audio_muted,
            is_video_off: row.is_video_off,
            last_seen: row.last_seen,
            reconnect_attempts: row.reconnect_attempts,
            device_info: row.device_info,
            joined_epoch: row.joined_epoch,
        };
        (row.session_id, user)
    });
    Ok(with_session.collect())
}

/// How many participants sessions have.
pub(super) async fn count_users(
    connection: &mut PgConnection,
    company_id: Uuid,
    session_ids: &[String],
) -> Result<Vec<(String, i32)>> {
    let counts = sqlx::query_file!("src/session/sql/count_users.sql", company_id, session_ids);
    Ok(counts.fetch_all(connection).await?.into_iter().map(|row| (row.session_id, row.count)).collect())
}

/// A company's providers, best first.
pub(super) async fn list_providers(connection: &mut PgConnection, company_id: Uuid) -> Result<Vec<ProviderRecord>> {
    let providers = sqlx::query_file_as!(ProviderRecord, "src/session/sql/list_providers.sql", company_id);
    Ok(providers.fetch_all(connection).await?)
}

/// Gives a company the default providers if it has none.
pub(super) async fn ensure_providers(connection: &mut PgConnection, company_id: Uuid) -> Result<()> {
    sqlx::query_file!("src/session/sql/ensure_providers.sql", company_id).fetch_optional(connection).await?;
    Ok(())
}

/// For providers: how many open sessions are on each, and how often it failed in the last hour.
pub(super) async fn count_providers(
    connection: &mut PgConnection,
    company_id: Uuid,
    names: &[String],
) -> Result<Vec<(String, (i32, i32))>> {
    let counts = sqlx::query_file!("src/session/sql/count_providers.sql", company_id, names);
    let counts = counts.fetch_all(connection).await?;
    Ok(counts.into_iter().map(|row| (row.name, (row.sessions, row.failures))).collect())
}

/// The alerts that hold in a company, or in one session.
pub(super) async fn list_alerts(
    connection: &mut PgConnection,
    company_id: Uuid,
    session_id: Option<&str>,
) -> Result<Vec<AlertRecord>> {
    let alerts = sqlx::query_file_as!(AlertRecord, "src/session/sql/list_alerts.sql", company_id, session_id);
    Ok(alerts.fetch_all(connection).await?)
}

/// The recommendation of a session that was published last, and its version.
pub(super) async fn find_quality(
    connection: &mut PgConnection,
    company_id: Uuid,
    session_id: &str,
) -> Result<Option<(Value, i32)>> {
    let quality = sqlx::query_file!("src/session/sql/find_quality.sql", company_id, session_id);
    Ok(quality.fetch_optional(connection).await?.map(|row| (row.quality, row.quality_version)))
}

/// Writes this server's settings, if they differ.
pub(super) async fn use_settings(connection: &mut PgConnection, settings: &SessionSettings) -> Result<()> {
    sqlx::query_file!("src/session/sql/use_settings.sql", settings.columns()).fetch_one(connection).await?;
    Ok(())
}

/// Disconnects who has been silent for too long. Gives their number.
pub(super) async fn sweep_presence(connection: &mut PgConnection) -> Result<i32> {
    Ok(sqlx::query_file_scalar!("src/session/sql/sweep_presence.sql").fetch_one(connection).await?)
}

/// Folds what sessions reported of providers. Gives the number of outcomes.
pub(super) async fn fold_providers(connection: &mut PgConnection) -> Result<i32> {
    Ok(sqlx::query_file_scalar!("src/session/sql/fold_providers.sql").fetch_one(connection).await?)
}

/// The sessions whose published health is to change.
pub(super) async fn judge_health(connection: &mut PgConnection) -> Result<Vec<(Uuid, String)>> {
    let judged = sqlx::query_file!("src/session/sql/judge_health.sql").fetch_all(connection).await?;
    Ok(judged.into_iter().map(|row| (row.company_id, row.session_id)).collect())
}

/// Publishes the health of one session, and acts on it.
pub(super) async fn publish_health(connection: &mut PgConnection, company_id: Uuid, session_id: &str) -> Result<()> {
    sqlx::query_file!("src/session/sql/publish_health.sql", company_id, session_id).fetch_one(connection).await?;
    Ok(())
}

/// Ends idle sessions and deletes old rows. Gives the number of sessions that ended.
pub(super) async fn clean_up(connection: &mut PgConnection) -> Result<i32> {
    Ok(sqlx::query_file_scalar!("src/session/sql/clean_up.sql").fetch_one(connection).await?)
}

/// A row of `session_coordination`, less what only the SQL functions need.
struct SessionRow {
    company_id: Uuid,
    session_id: String,
    active_provider: String,
    fallback_provider: Option<String>,
    epoch: i32,
    room_id: Option<String>,
    selected_by: Option<String>,
    selected_at: Option<OffsetDateTime>,
    recovery_from: Option<String>,
    recovery_reason: Option<String>,
    last_provider_change: Option<OffsetDateTime>,
    reconnection_in_progress: bool,
    version: i32,
    created_at: OffsetDateTime,
    ended_at: Option<OffsetDateTime>,
}

impl From<SessionRow> for SessionRecord {
    fn from(row: SessionRow) -> Self {
        Self {
            company_id: row.company_id,
            session_id: row.session_id,
            active_provider: row.active_provider,
            fallback_provider: row.fallback_provider,
            epoch: row.epoch,
            room_id: row.room_id,
            selected_by: row.selected_by,
            selected_at: row.selected_at,
            recovery_from: row.recovery_from,
            recovery_reason: row.recovery_reason,
            last_provider_change: row.last_provider_change,
            reconnection_in_progress: row.reconnection_in_progress,
            version: row.version,
            created_at: row.created_at,
            ended_at: row.ended_at,
            changed_users: Vec::new(),
        }
    }
}
