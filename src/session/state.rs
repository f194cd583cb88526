//! `updateUserSessionState`: what a participant says of itself.

use serde::de::IgnoredAny;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Sessions,
    call::{self, FunctionCall},
    record::UserRecord,
    rights,
    rules::ConnectionState,
    sql,
};
use crate::platform::{
    auth::Principal,
    batch::Reading,
    error::{Error, Result},
    unit::Lines,
};

/// A participant's state.
#[derive(Debug, Clone)]
pub struct UserState {
    /// The session, by the id that its clients chose.
    pub session_id: String,
    /// The participant, by the id that its clients chose.
    pub user_id: String,
    /// As shown to the others; absent: keeps.
    pub user_name: Option<String>,
    /// How its connection is.
    pub connection_state: ConnectionState,
    /// The provider that it is on, or `none`.
    pub current_provider: String,
    /// Carried, not interpreted; absent: keeps.
    pub device_info: Option<Value>,
    /// The epoch that the report is about, if the caller knows it.
    pub epoch: Option<i32>,
    /// Absent: stays as it was.
    pub is_audio_muted: Option<bool>,
    /// Absent: stays as it was.
    pub is_video_off: Option<bool>,
}

/// A call of `update_user_session_state`.
struct UpdateState {
    company_id: Uuid,
    caller: String,
    state: UserState,
}

impl FunctionCall for UpdateState {
    const FUNCTION: &'static str = "update_user_session_state";
    type Outcome = IgnoredAny;

    async fn call(&self, connection: &mut PgConnection) -> Result<Value> {
        sql::update_user_session_state(connection, self.company_id, &self.state).await
    }

    fn lines(&self) -> Lines {
        call::lines(self.company_id, &self.state.session_id, &self.caller)
    }
}

impl Sessions {
    /// Takes a participant's state. Creates the session and the participant if they are new.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `CONFLICT` when it leaves an ended session, `FORBIDDEN`.
    pub async fn update_state(
        &self,
        reading: &Reading,
        principal: &Principal,
        state: &UserState,
    ) -> Result<UserRecord> {
        rights::may_report(principal, &state.session_id, &state.user_id)?;
        let company_id = principal.company_id;
        self.call(UpdateState { company_id, caller: principal.subject.clone(), state: state.clone() }).await?;
        let found = self.loaders.user(reading, company_id, &state.session_id, &state.user_id).await?;
        found.ok_or_else(|| Error::not_found("participant"))
    }
}
