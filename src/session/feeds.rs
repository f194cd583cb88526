//! What streams of sessions, alerts, recommendations and providers show.
//!
//! Rights do not depend on the record: a participant's session is in its token. So they are checked when the stream is
//! opened, and the streams listen to that session only.

use std::{sync::Arc, time::Duration};

use async_graphql::Context;
use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    ALERT, PROVIDER, QUALITY, SESSION,
    loaders::SessionList,
    record::{AlertRecord, ProviderRecord, QualityRecord, SessionRecord, UserRecord},
    sql,
};
use crate::platform::{
    auth::{Caller, Principal, Role},
    error::Result,
    event::{Event, Interest, Subject, hub::Scope},
    graphql::{audience::Audience, source::ShownFeed},
    subscription::{ChangeOperation, Feed, Pace, Versioned, project},
};

/// Most open sessions with which a stream of the whole company begins.
const SESSIONS_IN_SNAPSHOT: usize = 1_000;

/// The stream `sessionChanged`: open sessions. One that ends is a DELETE.
#[derive(Debug, Clone)]
pub(super) struct SessionFeed {
    /// The caller that reads the stream; its rights decide what is shown.
    pub(super) principal: Arc<Principal>,
    /// `None`: every session of the company.
    pub(super) session_id: Option<String>,
    /// The reader selects what participants said of their devices, of which each sees its own only.
    pub(super) shows_devices: bool,
}

/// How often a stream of one session sends participants' states.
struct StatesPace;

impl Pace<Arc<SessionRecord>> for StatesPace {
    fn every(&self) -> Duration {
        Duration::from_millis(250)
    }

    /// Within one epoch. A new epoch, an end and a new beginning are each sent.
    fn may_wait(&self, sent: &Arc<SessionRecord>, next: &Arc<SessionRecord>) -> bool {
        (sent.epoch, sent.ended_at, &sent.active_provider) == (next.epoch, next.ended_at, &next.active_provider)
    }

    /// The session as it is after the newer change, and the participants of both.
    fn merged(&self, older: &Arc<SessionRecord>, newer: Arc<SessionRecord>) -> Arc<SessionRecord> {
        let is_of_newer = |user: &&UserRecord| newer.changed_users.iter().any(|other| other.user_id == user.user_id);
        let mut users: Vec<UserRecord> =
            older.changed_users.iter().filter(|user| !is_of_newer(user)).cloned().collect();
        if users.is_empty() {
            return newer;
        }
        users.extend(newer.changed_users.iter().cloned());
        Arc::new(SessionRecord { changed_users: users, ..SessionRecord::clone(&newer) })
    }
}

impl Feed for SessionFeed {
    type Record = Arc<SessionRecord>;

    fn company_id(&self) -> Uuid {
        self.principal.company_id
    }

    fn interests(&self) -> Vec<Interest> {
        let scope = self.session_id.clone().map_or(Scope::All, Scope::Subject);
        vec![Interest { company_id: self.principal.company_id, subject_type: SESSION, scope }]
    }

    fn subject(&self) -> Option<Subject> {
        self.session_id.as_ref().map(|id| Subject::new(SESSION, id))
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async move {
            let mut sessions = if let Some(id) = &self.session_id {
                sql::find_sessions(connection, self.principal.company_id, &[id.to_owned()]).await?
            } else {
                let (company_id, limit) = (self.principal.company_id, SESSIONS_IN_SNAPSHOT);
                let open = SessionList { company_id, active: Some(true), provider: None, before: None, limit };
                sql::list_sessions(connection, &open).await?
            };
            sessions.retain(|session| session.ended_at.is_none());
            sessions.reverse();
            Ok(sessions
                .into_iter()
                .map(|session| Versioned { version: session.version, record: Arc::new(session) })
                .collect())
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        if event.subject_type != SESSION || self.session_id.as_ref().is_some_and(|id| *id != event.subject_id) {
            return Ok(None);
        }
        project(event, |session| Some(Arc::clone(session)), |session: &SessionRecord| session.ended_at.is_none())
    }

    /// A stream of the whole company is not paced: its cursors are places in the log, so that nothing may be sent after
    /// what came later.
    fn pace(&self) -> Option<&'static dyn Pace<Self::Record>> {
        self.session_id.is_some().then_some(&StatesPace)
    }
}

/// The stream `healthAlerts`: alerts that hold. One that clears is a DELETE.
#[derive(Debug, Clone)]
pub(super) struct AlertFeed {
    /// The caller that reads the stream; its rights decide what is shown.
    pub(super) principal: Arc<Principal>,
    /// `None`: of every session of the company.
    pub(super) session_id: Option<String>,
}

impl Feed for AlertFeed {
    type Record = Arc<AlertRecord>;

    fn company_id(&self) -> Uuid {
        self.principal.company_id
    }

    fn interests(&self) -> Vec<Interest> {
        let of_session = |id: String| Scope::Field("sessionId", id);
        let scope = self.session_id.clone().map_or(Scope::All, of_session);
        vec![Interest { company_id: self.principal.company_id, subject_type: ALERT, scope }]
    }

    fn subject(&self) -> Option<Subject> {
        None
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async move {
            let alerts = sql::list_alerts(connection, self.principal.company_id, self.session_id.as_deref()).await?;
            Ok(alerts.into_iter().map(|alert| Versioned { version: alert.version, record: Arc::new(alert) }).collect())
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        if event.subject_type != ALERT {
            return Ok(None);
        }
        project(
            event,
            |alert| Some(Arc::clone(alert)),
            |alert: &AlertRecord| {
                alert.cleared_at.is_none() && self.session_id.as_ref().is_none_or(|id| *id == alert.session_id)
            },
        )
    }
}

/// The stream `qualityRecovery` of one session.
#[derive(Debug, Clone)]
pub(super) struct QualityFeed {
    pub(super) company_id: Uuid,
    pub(super) session_id: String,
}

impl Feed for QualityFeed {
    type Record = Arc<QualityRecord>;

    fn company_id(&self) -> Uuid {
        self.company_id
    }

    fn interests(&self) -> Vec<Interest> {
        let scope = Scope::Subject(self.session_id.clone());
        vec![Interest { company_id: self.company_id, subject_type: QUALITY, scope }]
    }

    fn subject(&self) -> Option<Subject> {
        Some(Subject::new(QUALITY, &self.session_id))
    }

    /// An unknown session has no reason to leave its provider.
    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async move {
            let found = sql::find_quality(connection, self.company_id, &self.session_id).await?;
            let (record, version) = match found {
                Some((quality, version)) => (serde_json::from_value(quality)?, version),
                None => (QualityRecord::default(), 0),
            };
            Ok(vec![Versioned { version, record: Arc::new(record) }])
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        if event.subject_type != QUALITY || event.subject_id != self.session_id {
            return Ok(None);
        }
        Ok(Some((ChangeOperation::Update, event.record::<QualityRecord>()?)))
    }
}

/// The stream `sessionProviderChanged` of a company.
#[derive(Debug, Clone)]
pub(super) struct ProviderFeed {
    /// The caller that reads the stream; its rights decide what is shown.
    pub(super) principal: Arc<Principal>,
}

impl Feed for ProviderFeed {
    type Record = Arc<ProviderRecord>;

    fn company_id(&self) -> Uuid {
        self.principal.company_id
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest { company_id: self.principal.company_id, subject_type: PROVIDER, scope: Scope::All }]
    }

    fn subject(&self) -> Option<Subject> {
        None
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async move {
            let providers = sql::list_providers(connection, self.principal.company_id).await?;
            Ok(providers
                .into_iter()
                .map(|provider| Versioned { version: provider.version, record: Arc::new(provider) })
                .collect())
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        if event.subject_type != PROVIDER {
            return Ok(None);
        }
        project(event, |provider: &Arc<ProviderRecord>| Some(Arc::clone(provider)), |_| true)
    }
}

/// The caller without what no right of this concept depends on: all participants of a session are one audience. Where
/// their own devices are shown, each is an audience of its own.
fn audience(principal: &Principal, shows_devices: bool) -> Audience {
    let reduced = match principal.role {
        Role::Participant => Principal {
            subject: if shows_devices { principal.subject.clone() } else { String::new() },
            session_id: principal.session_id.clone(),
            ..principal.of_role_alone()
        },
        _ => principal.of_role_alone(),
    };
    Audience::of(Caller::Known(Arc::new(reduced)))
}

impl ShownFeed for SessionFeed {
    fn audience(&self) -> Audience {
        audience(&self.principal, self.shows_devices)
    }

    /// Rights do not change with the record.
    fn sees_now<'a>(&'a self, _context: &'a Context<'_>, _record: &'a Self::Record) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(true) })
    }
}

impl ShownFeed for AlertFeed {
    fn audience(&self) -> Audience {
        audience(&self.principal, false)
    }

    /// Rights do not change with the record.
    fn sees_now<'a>(&'a self, _context: &'a Context<'_>, _record: &'a Self::Record) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(true) })
    }
}

impl ShownFeed for ProviderFeed {
    fn audience(&self) -> Audience {
        audience(&self.principal, false)
    }

    /// Rights do not change with the record.
    fn sees_now<'a>(&'a self, _context: &'a Context<'_>, _record: &'a Self::Record) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(true) })
    }
}
