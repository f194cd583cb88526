//! The mutations of choice, recovery and states in the API.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::{
    SessionContextExt as _,
    objects::{MOST_USERS, SessionCoordination, SessionUser},
};
use crate::{
    platform::{
        error::{Error, Result},
        graphql::{context::ContextExt as _, directives, scalars::Json},
    },
    session::{
        Recovery, UserState,
        rules::{ConnectionState, RecoveryKind, RecoveryOutcome},
    },
};

/// The input of `selectSessionProvider`.
#[derive(Debug, InputObject)]
pub struct SelectSessionProviderInput {
    /// The session; made by its first use.
    session_id: ID,
    /// The participant that asks.
    user_id: ID,
    /// The provider to use if nobody has chosen yet.
    provider: String,
    /// The room to use if nobody has chosen yet.
    room_id: String,
}

/// The result of `selectSessionProvider`.
#[derive(Debug, SimpleObject)]
pub struct SelectSessionProviderPayload {
    /// The provider that all participants use.
    provider: String,
    /// The room in which all participants meet.
    room_id: String,
    /// The participant whose request chose it.
    selected_by: ID,
    /// True for the one call that chose.
    is_new_selection: bool,
    /// The same in words.
    reason: String,
    /// The epoch of the choice.
    epoch: i32,
    /// The session after the call.
    session: SessionCoordination,
}

/// The input of `coordinateProviderRecovery`.
#[derive(Debug, InputObject)]
pub struct CoordinateProviderRecoveryInput {
    /// The session, by the id that its clients chose.
    session_id: ID,
    /// The provider that fails.
    failed_provider: String,
    /// Who reports it.
    initiated_by: ID,
    /// The epoch that the report is about. Without it a report may be taken for late.
    epoch: Option<i32>,
    /// Why, in the caller's words; at most 1,000 characters.
    reason: Option<String>,
    /// FAILURE unless told.
    kind: Option<RecoveryKind>,
}

/// The result of `coordinateProviderRecovery`.
#[derive(Debug, SimpleObject)]
pub struct CoordinateProviderRecoveryPayload {
    /// What became of the report.
    outcome: RecoveryOutcome,
    /// The provider that the report says has failed.
    failed_provider: String,
    /// Everybody's provider now.
    new_provider: Option<String>,
    /// The room in which all participants meet.
    room_id: Option<String>,
    /// Who was connected when the provider was left.
    #[graphql(directive = directives::list_size::apply(MOST_USERS))]
    affected_users: Vec<ID>,
    /// The participant that reported it.
    initiated_by: ID,
    /// Why the provider was left, or was not.
    recovery_reason: String,
    /// The present epoch.
    epoch: i32,
    /// The session after the call.
    session: SessionCoordination,
}

/// The input of `updateUserSessionState`.
#[derive(Debug, InputObject)]
pub struct UpdateUserSessionStateInput {
    /// The session; made by its first use.
    session_id: ID,
    /// Whose state it is.
    user_id: ID,
    /// The name as shown to the others; absent: keeps. At most 200 characters.
    user_name: Option<String>,
    /// How the connection is.
    connection_state: ConnectionState,
    /// The provider that the participant is on, or `none`.
    current_provider: String,
    /// Absent: stays as it was.
    is_audio_muted: Option<bool>,
    /// Absent: stays as it was.
    is_video_off: Option<bool>,
    /// An object of at most 8 KiB; absent: keeps.
    device_info: Option<Json>,
    /// The epoch that the report is about. Of an older one only the time counts.
    epoch: Option<i32>,
}

/// The result of `updateUserSessionState`.
#[derive(Debug, SimpleObject)]
pub struct UpdateUserSessionStatePayload {
    /// The participant after the call.
    user: SessionUser,
    /// The session after the call.
    session: SessionCoordination,
}

/// Mutations of choice, recovery and states.
#[derive(Default)]
pub struct CoordinationMutation;

/// The session as it is now.
async fn session(context: &Context<'_>, session_id: &str) -> Result<SessionCoordination> {
    let session = Box::pin(context.sessions().session(context.principal()?, session_id)).await?;
    session.map(SessionCoordination::from).ok_or_else(|| Error::not_found("session"))
}

#[Object]
impl CoordinationMutation {
    /// Gives the session's provider. The first caller chooses for everybody; all others get the same answer.
    async fn select_session_provider(
        &self,
        context: &Context<'_>,
        input: SelectSessionProviderInput,
    ) -> Result<SelectSessionProviderPayload> {
        let SelectSessionProviderInput { session_id, user_id, provider, room_id } = input;
        let sessions = context.sessions();
        let choice = sessions.select_provider(context.principal()?, &session_id, &user_id, &provider, &room_id).await?;
        Ok(SelectSessionProviderPayload {
            provider: choice.provider,
            room_id: choice.room_id,
            selected_by: ID(choice.selected_by),
            is_new_selection: choice.is_new_selection,
            reason: choice.reason,
            epoch: choice.epoch,
            session: session(context, &session_id).await?,
        })
    }

    /// Reports that a provider fails. Everybody is moved to the next one, once for each failure: other reports of the
    /// same failure join, late ones change nothing.
    async fn coordinate_provider_recovery(
        &self,
        context: &Context<'_>,
        input: CoordinateProviderRecoveryInput,
    ) -> Result<CoordinateProviderRecoveryPayload> {
        let recovery = Recovery {
            session_id: input.session_id.0,
            failed_provider: input.failed_provider,
            initiated_by: input.initiated_by.0,
            epoch: input.epoch,
            reason: input.reason,
            kind: input.kind.unwrap_or(RecoveryKind::Failure),
        };
        let recovered = context.sessions().recover(context.principal()?, &recovery).await?;
        Ok(CoordinateProviderRecoveryPayload {
            outcome: recovered.outcome,
            failed_provider: recovered.failed_provider,
            new_provider: recovered.new_provider,
            room_id: recovered.room_id,
            affected_users: recovered.affected_users.into_iter().map(ID).collect(),
            initiated_by: ID(recovered.initiated_by),
            recovery_reason: recovered.recovery_reason,
            epoch: recovered.epoch,
            session: session(context, &recovery.session_id).await?,
        })
    }

    /// Takes a participant's state. It joins the present epoch only if it names the active provider and carries no
    /// older epoch.
    async fn update_user_session_state(
        &self,
        context: &Context<'_>,
        input: UpdateUserSessionStateInput,
    ) -> Result<UpdateUserSessionStatePayload> {
        let state = UserState {
            session_id: input.session_id.0,
            user_id: input.user_id.0,
            user_name: input.user_name,
            connection_state: input.connection_state,
            current_provider: input.current_provider,
            device_info: input.device_info.map(|info| info.0),
            epoch: input.epoch,
            is_audio_muted: input.is_audio_muted,
            is_video_off: input.is_video_off,
        };
        let user = context.sessions().update_state(&context.reading(), context.principal()?, &state).await?;
        let session = session(context, &state.session_id).await?;
        Ok(UpdateUserSessionStatePayload { user: user.into(), session })
    }
}
