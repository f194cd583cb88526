//! Sessions and participants as the API shows them.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};

use super::SessionContextExt as _;
use crate::{
    platform::{
        error::Result,
        graphql::{
            context::ContextExt as _,
            directives,
            scalars::{Datetime, Json},
        },
    },
    session::{SessionRecord, UserRecord, rights, rules::ConnectionState},
};

/// Most participants that a session shows, for the cost of the list.
pub(super) const MOST_USERS: i32 = 1_000;

/// The object `SessionCoordination` of the schema.
#[derive(Debug, Clone)]
pub struct SessionCoordination(Arc<SessionRecord>);

impl From<SessionRecord> for SessionCoordination {
    fn from(record: SessionRecord) -> Self {
        Self(Arc::new(record))
    }
}

impl From<Arc<SessionRecord>> for SessionCoordination {
    fn from(record: Arc<SessionRecord>) -> Self {
        Self(record)
    }
}

/// A video session: the one provider that all of its participants use, and who they are.
#[Object]
impl SessionCoordination {
    /// The same as `sessionId`.
    async fn id(&self) -> ID {
        ID(self.0.session_id.clone())
    }

    /// Chosen by the clients; unique in the company.
    async fn session_id(&self) -> ID {
        ID(self.0.session_id.clone())
    }

    /// Everybody's provider; `none` before the first choice.
    async fn active_provider(&self) -> &str {
        &self.0.active_provider
    }

    /// The provider that a recovery would have chosen when the active one was chosen.
    async fn fallback_provider(&self) -> Option<&str> {
        self.0.fallback_provider.as_deref()
    }

    /// Raised by one at every choice of provider. Reports should carry it.
    async fn epoch(&self) -> i32 {
        self.0.epoch
    }

    /// Everybody's room; recoveries keep it.
    async fn room_id(&self) -> Option<&str> {
        self.0.room_id.as_deref()
    }

    /// Who caused the present choice; `system` for an automatic recovery.
    async fn selected_by(&self) -> Option<ID> {
        self.0.selected_by.clone().map(ID)
    }

    /// When the present choice was made.
    async fn selected_at(&self) -> Option<Datetime> {
        self.0.selected_at.map(Datetime::from)
    }

    /// The provider that the present epoch left; null after a first choice.
    async fn recovery_from(&self) -> Option<&str> {
        self.0.recovery_from.as_deref()
    }

    /// Why it was left.
    async fn recovery_reason(&self) -> Option<&str> {
        self.0.recovery_reason.as_deref()
    }

    /// When the epoch was raised.
    async fn last_provider_change(&self) -> Option<Datetime> {
        self.0.last_provider_change.map(Datetime::from)
    }

    /// True after a switch until everybody who was connected has joined or left, for at most 30 seconds.
    async fn reconnection_in_progress(&self) -> bool {
        self.0.reconnection_in_progress
    }

    /// The participants as they are now, by user id; at most 1,000.
    #[graphql(
        directive = directives::cost::apply(directives::LIST),
        directive = directives::list_size::apply(MOST_USERS)
    )]
    async fn users(&self, context: &Context<'_>) -> Result<Vec<SessionUser>> {
        let reading = context.reading();
        let users = context.sessions().users(&reading, context.principal()?, &self.0.session_id);
        let users = Box::pin(users).await?;
        Ok(users.into_iter().map(SessionUser::from).collect())
    }

    /// How many participants there are now.
    #[graphql(directive = directives::cost::apply(directives::RECORD))]
    async fn user_count(&self, context: &Context<'_>) -> Result<i32> {
        Box::pin(context.sessions().user_count(context.principal()?, &self.0.session_id)).await
    }

    /// Raised by one at each change of the session or of a participant's state.
    async fn version(&self) -> i32 {
        self.0.version
    }

    /// When the session was first named.
    async fn created_at(&self) -> Datetime {
        self.0.created_at.into()
    }

    /// When it ended; null again when it is chosen or entered anew.
    async fn ended_at(&self) -> Option<Datetime> {
        self.0.ended_at.map(Datetime::from)
    }
}

/// The object `SessionUser` of the schema.
#[derive(Debug, Clone)]
pub struct SessionUser(UserRecord);

impl From<UserRecord> for SessionUser {
    fn from(record: UserRecord) -> Self {
        Self(record)
    }
}

/// A participant of a session.
#[Object]
impl SessionUser {
    /// The same as `userId`.
    async fn id(&self) -> ID {
        ID(self.0.user_id.clone())
    }

    /// The claim `sub` of the participant's token.
    async fn user_id(&self) -> ID {
        ID(self.0.user_id.clone())
    }

    /// The name as shown to the others.
    async fn user_name(&self) -> Option<&str> {
        self.0.user_name.as_deref()
    }

    /// As the participant reported; RECONNECTING when it fell silent.
    async fn connection_state(&self) -> ConnectionState {
        self.0.connection_state
    }

    /// The provider that it last joined; `none` before.
    async fn current_provider(&self) -> &str {
        &self.0.current_provider
    }

    /// As the participant reported.
    async fn is_audio_muted(&self) -> bool {
        self.0.is_audio_muted
    }

    /// As the participant reported.
    async fn is_video_off(&self) -> bool {
        self.0.is_video_off
    }

    /// Its last report of a state.
    async fn last_seen(&self) -> Datetime {
        self.0.last_seen.into()
    }

    /// How often it came back after it had fallen silent.
    async fn reconnect_attempts(&self) -> i32 {
        self.0.reconnect_attempts
    }

    /// What it said of its device; null for other participants.
    async fn device_info(&self, context: &Context<'_>) -> Result<Option<Json>> {
        let may_see = rights::sees_device(context.principal()?, &self.0.user_id);
        Ok(may_see.then(|| async_graphql::Json(self.0.device_info.clone())))
    }

    /// The epoch that it last joined: moves with a report that names the active provider.
    async fn joined_epoch(&self) -> Option<i32> {
        self.0.joined_epoch
    }
}
