//! `selectSessionProvider`: the first to ask chooses for everybody.

use serde::Deserialize;
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Sessions,
    call::{self, FunctionCall},
    rights, sql,
};
use crate::platform::{auth::Principal, error::Result, unit::Lines};

/// A session's provider.
#[derive(Debug, Clone, Deserialize)]
pub struct Choice {
    /// The provider that all participants use.
    pub provider: String,
    /// The room in which all participants meet.
    pub room_id: String,
    /// The participant whose request chose it.
    pub selected_by: String,
    /// True for the one call that chose.
    pub is_new_selection: bool,
    /// The same in words.
    pub reason: String,
    /// The epoch of the choice.
    pub epoch: i32,
}

/// A call of `select_session_provider`.
struct Select {
    company_id: Uuid,
    caller: String,
    session_id: String,
    user_id: String,
    provider: String,
    room_id: String,
}

impl FunctionCall for Select {
    const FUNCTION: &'static str = "select_session_provider";
    type Outcome = Choice;

    async fn call(&self, connection: &mut PgConnection) -> Result<Value> {
        let Self { company_id, session_id, user_id, provider, room_id, .. } = self;
        sql::select_session_provider(connection, *company_id, session_id, user_id, provider, room_id).await
    }

    fn lines(&self) -> Lines {
        call::lines(self.company_id, &self.session_id, &self.caller)
    }
}

impl Sessions {
    /// The session's provider: the one that was chosen, or `provider` if nobody has chosen yet.
    ///
    /// # Errors
    /// `BAD_USER_INPUT`, `CONFLICT` when no provider is enabled, `FORBIDDEN`.
    pub async fn select_provider(
        &self,
        principal: &Principal,
        session_id: &str,
        user_id: &str,
        provider: &str,
        room_id: &str,
    ) -> Result<Choice> {
        rights::may_report(principal, session_id, user_id)?;
        self.call(Select {
            company_id: principal.company_id,
            caller: principal.subject.clone(),
            session_id: session_id.to_owned(),
            user_id: user_id.to_owned(),
            provider: provider.to_owned(),
            room_id: room_id.to_owned(),
        })
        .await
    }
}
