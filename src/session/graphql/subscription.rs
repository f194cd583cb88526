//! Subscriptions to sessions, alerts, recommendations and providers.

use std::sync::Arc;

use async_graphql::{Context, ID, SimpleObject, Subscription};
use futures_util::{StreamExt as _, future};

use super::{
    health::{QualityRecovery, SessionHealthAlert},
    objects::{SessionCoordination, SessionUser},
    provider::SessionProvider,
};
use crate::{
    platform::{
        error::Result,
        event::Cursor,
        graphql::{
            context::ContextExt as _,
            source::{self, SourceRegistered},
        },
        subscription::{self, Change, ChangeOperation},
    },
    session::{
        AlertRecord, ProviderRecord, SessionRecord,
        feeds::{AlertFeed, ProviderFeed, QualityFeed, SessionFeed},
        rights,
    },
};

/// A message of `sessionChanged`.
#[derive(Debug, SimpleObject)]
pub struct SessionEvent {
    /// What the message means for the record.
    operation: ChangeOperation,
    /// The session as it is after the change; null on READY.
    record: Option<SessionCoordination>,
    /// The participants that the change is about.
    changed_users: Vec<SessionUser>,
    /// Resumes the subscription after this message, as the argument `after`.
    cursor: Cursor,
    /// True when the present state is sent again because the log does not hold all changes in between.
    resync: bool,
}

impl From<Change<Arc<SessionRecord>>> for SessionEvent {
    fn from(change: Change<Arc<SessionRecord>>) -> Self {
        let Change { operation, record, cursor, resync, .. } = change;
        let changed = record.as_ref().map(|record| record.changed_users.clone()).unwrap_or_default();
        Self {
            operation,
            record: record.map(SessionCoordination::from),
            changed_users: changed.into_iter().map(SessionUser::from).collect(),
            cursor,
            resync,
        }
    }
}

/// A message of `healthAlerts`.
#[derive(SimpleObject)]
pub struct HealthAlertEvent {
    /// INSERT: raised. UPDATE: count, users or severity changed. DELETE: cleared.
    operation: ChangeOperation,
    /// The alert as it is after the change; null on READY.
    record: Option<SessionHealthAlert>,
    /// Resumes the subscription after this message, as the argument `after`.
    cursor: Cursor,
    /// True when the present state is sent again because the log does not hold all changes in between.
    resync: bool,
}

impl From<Change<Arc<AlertRecord>>> for HealthAlertEvent {
    fn from(change: Change<Arc<AlertRecord>>) -> Self {
        let Change { operation, record, cursor, resync, .. } = change;
        Self { operation, record: record.map(SessionHealthAlert::from), cursor, resync }
    }
}

/// A message of `sessionProviderChanged`.
#[derive(Debug, SimpleObject)]
pub struct SessionProviderEvent {
    /// What the message means for the record.
    operation: ChangeOperation,
    /// The provider as it is after the change; null on READY.
    record: Option<SessionProvider>,
    /// Resumes the subscription after this message, as the argument `after`.
    cursor: Cursor,
    /// True when the present state is sent again because the log does not hold all changes in between.
    resync: bool,
}

impl From<Change<Arc<ProviderRecord>>> for SessionProviderEvent {
    fn from(change: Change<Arc<ProviderRecord>>) -> Self {
        let Change { operation, record, cursor, resync, .. } = change;
        Self { operation, record: record.map(SessionProvider::from), cursor, resync }
    }
}

/// Subscriptions to sessions.
#[derive(Default)]
pub struct SessionSubscription;

#[Subscription]
impl SessionSubscription {
    /// A session as it is, then every change of it: a choice, a recovery, a participant's state. One that ends is a
    /// DELETE. Without `sessionId`: every open session of the company, only for its service and admin.
    async fn session_changed(
        &self,
        context: &Context<'_>,
        session_id: Option<ID>,
        after: Option<Cursor>,
    ) -> Result<SourceRegistered<SessionEvent>> {
        let principal = context.principal()?;
        let session_id = session_id.map(|id| id.0);
        rights::may_read(principal, session_id.as_deref())?;
        let feed = SessionFeed { company_id: principal.company_id, session_id };
        Ok(source::shared(context, subscription::subscribe(context.sources(), feed, after)))
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
        let feed = AlertFeed { company_id: principal.company_id, session_id };
        Ok(source::shared(context, subscription::subscribe(context.sources(), feed, after)))
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
    ) -> Result<SourceRegistered<SessionProviderEvent>> {
        let principal = context.principal()?;
        principal.require_company()?;
        let feed = ProviderFeed { company_id: principal.company_id };
        Ok(source::shared(context, subscription::subscribe(context.sources(), feed, after)))
    }
}
