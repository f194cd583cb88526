//! Subscriptions to sessions, alerts, recommendations and providers.

use std::sync::Arc;

use async_graphql::{Context, ID, SimpleObject, Subscription};
use futures_util::{StreamExt as _, future};

use super::{
    health::{QualityRecovery, SessionHealthAlert},
    objects::{MOST_USERS, SessionCoordination, SessionUser},
    provider::SessionProvider,
};
use crate::{
    platform::{
        error::Result,
        event::Cursor,
        graphql::{
            context::ContextExt as _,
            directives,
            shown::Shown,
            source::{self, SourceRegistered},
            stream_event::StreamEvent,
        },
        subscription::{self, Change, ChangeOperation},
    },
    session::{
        AlertRecord, SessionRecord,
        feeds::{AlertFeed, ProviderFeed, QualityFeed, SessionFeed},
        rights,
    },
};

/// A message of `sessionChanged`.
#[derive(SimpleObject)]
pub struct SessionEvent {
    /// What the message means for the record.
    operation: ChangeOperation,
    /// The session as it is after the change; null on READY.
    record: Option<Shown<SessionCoordination>>,
    /// The participants that the change is about.
    #[graphql(directive = directives::list_size::apply(MOST_USERS))]
    changed_users: Vec<SessionUser>,
    /// Resumes the subscription after this message, as the argument `after`.
    cursor: Cursor,
    /// True when the present state is sent again because the log does not hold all changes in between.
    resync: bool,
}

impl SessionEvent {
    fn new(change: Change<Arc<SessionRecord>>, record: Option<Shown<SessionCoordination>>) -> Self {
        let changed = change.record.map(|record| record.changed_users.clone()).unwrap_or_default();
        Self {
            operation: change.operation,
            record,
            changed_users: changed.into_iter().map(SessionUser::from).collect(),
            cursor: change.cursor,
            resync: change.resync,
        }
    }
}

/// A message of `healthAlerts`.
#[derive(SimpleObject)]
pub struct HealthAlertEvent {
    /// INSERT: raised. UPDATE: count, users or severity changed. DELETE: cleared.
    operation: ChangeOperation,
    /// The alert as it is after the change; null on READY.
    record: Option<Shown<SessionHealthAlert>>,
    /// Resumes the subscription after this message, as the argument `after`.
    cursor: Cursor,
    /// True when the present state is sent again because the log does not hold all changes in between.
    resync: bool,
}

impl HealthAlertEvent {
    fn new(change: Change<Arc<AlertRecord>>, record: Option<Shown<SessionHealthAlert>>) -> Self {
        Self { operation: change.operation, record, cursor: change.cursor, resync: change.resync }
    }
}

/// Subscriptions to sessions.
#[derive(Default)]
pub struct SessionSubscription;

#[Subscription]
impl SessionSubscription {
    /// A session as it is, then its changes: each choice, each recovery, each end, which is a DELETE. The states of
    /// participants come at most four times a second, the changes of a quarter of a second together. Without `sessionId`:
    /// every change of every open session of the company, only for its service and admin.
    async fn session_changed(
        &self,
        context: &Context<'_>,
        session_id: Option<ID>,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<SessionEvent>> {
        let principal = context.principal()?;
        let session_id = session_id.map(|id| id.0);
        rights::may_read(principal, session_id.as_deref())?;
        let selected = context.look_ahead();
        let users = [selected.field("record").field("users"), selected.field("changedUsers")];
        let shows_devices = users.iter().any(|users| users.field("deviceInfo").exists());
        let feed = SessionFeed { principal: Arc::clone(principal), session_id, shows_devices };
        Ok(source::messages(context, feed, after, |change, record| Some(SessionEvent::new(change, record))))
    }

    /// The alerts that hold, then each that is raised, changes or clears. Without `sessionId`: of every session of the
    /// company, only for its service and admin.
    async fn health_alerts(
        &self,
        context: &Context<'_>,
        session_id: Option<ID>,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<HealthAlertEvent>> {
        let principal = context.principal()?;
        let session_id = session_id.map(|id| id.0);
        rights::may_read(principal, session_id.as_deref())?;
        let feed = AlertFeed { principal: Arc::clone(principal), session_id };
        Ok(source::messages(context, feed, after, |change, record| Some(HealthAlertEvent::new(change, record))))
    }

    /// Whether the quality of a session is a reason to leave its provider: as published last, then each change.
    async fn quality_recovery(
        &self,
        context: &Context<'_>,
        session_id: ID,
    ) -> Result<SourceRegistered<QualityRecovery>> {
        let principal = context.principal()?;
        rights::may_read(principal, Some(&session_id))?;
        let feed = QualityFeed { company_id: principal.company_id, session_id: session_id.0 };
        let changes = subscription::subscribe(context.sources(), feed, None);
        let states = changes.filter_map(|change| {
            let state = change.map(|change| change.record.map(|record| QualityRecovery::from((*record).clone())));
            future::ready(state.transpose())
        });
        Ok(source::own(context, states))
    }

    /// The company's providers, then each change of state, of rank, or of 10 points of the score. Only for the
    /// company's service and admin.
    async fn session_provider_changed(
        &self,
        context: &Context<'_>,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<StreamEvent<SessionProvider>>> {
        let principal = context.principal()?;
        principal.require_company()?;
        let feed = ProviderFeed { principal: Arc::clone(principal) };
        Ok(source::events(context, feed, after))
    }
}
