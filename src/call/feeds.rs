//! The streams of calls: `callStatus`, and `callHangUps` for dialers. Both are filters of the events of calls.

use std::sync::Arc;

use async_graphql::Context;
use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    record::{CALL, CallName, CallRecord},
    rules::CallStatus,
    sql,
};
use crate::platform::{
    auth::Principal,
    error::{Error, Result},
    event::{Event, Interest, Subject, hub::Scope},
    graphql::{audience::Audience, source::ShownFeed},
    subscription::{ChangeOperation, Feed, Listing, Loaded, Versioned, project},
};

/// Which calls a stream shows.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// Only this call.
    pub name: Option<CallName>,
    /// Only of this user.
    pub user_id: Option<String>,
    /// Only of this campaign.
    pub campaign_id: Option<Uuid>,
    /// Only in this state.
    pub status: Option<CallStatus>,
    /// Only those that wait for a dialer to do this.
    pub waits_for: Option<Work>,
}

/// What a dialer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Dials a call that has a slot.
    Dial,
    /// Hangs a call up.
    HangUp,
}

impl CallFilter {
    fn admits(&self, call: &CallRecord) -> bool {
        let is_named = match &self.name {
            None => true,
            Some(CallName::Id(id)) => call.id == *id,
            Some(CallName::ControlId(name)) => call.call_control_id.as_ref() == Some(name),
        };
        is_named
            && self.user_id.as_ref().is_none_or(|user| call.user_id == *user)
            && self.campaign_id.is_none_or(|campaign| call.campaign_id == Some(campaign))
            && self.status.is_none_or(|status| call.status == status)
            && match self.waits_for {
                None => true,
                Some(Work::Dial) => call.is_to_dial(),
                Some(Work::HangUp) => call.is_to_hang_up(),
            }
    }
}

/// Changes of the calls that pass a filter.
#[derive(Debug, Clone)]
pub struct CallFeed {
    /// Who reads: a company's server, which sees all calls of its company.
    pub principal: Arc<Principal>,
    /// What it asked for.
    pub filter: CallFilter,
}

impl Feed for CallFeed {
    type Record = Arc<CallRecord>;

    fn company_id(&self) -> Uuid {
        self.principal.company_id
    }

    fn interests(&self) -> Vec<Interest> {
        let scope = match (&self.filter.name, &self.filter.user_id, self.filter.campaign_id) {
            (Some(CallName::Id(id)), ..) => Scope::Subject(id.to_string()),
            (Some(CallName::ControlId(name)), ..) => Scope::Field("callControlId", name.clone()),
            (_, Some(user), _) => Scope::Field("userId", user.clone()),
            (.., Some(campaign)) => Scope::Field("campaignId", campaign.to_string()),
            _ => Scope::All,
        };
        vec![Interest { company_id: self.company_id(), subject_type: CALL, scope }]
    }

    fn subject(&self) -> Option<Subject> {
        match (&self.filter.name, self.filter.status, self.filter.waits_for) {
            (Some(CallName::Id(id)), None, None) => Some(Subject::new(CALL, id)),
            _ => None,
        }
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async move {
            let company_id = self.company_id();
            let Some(name) = &self.filter.name else { return Ok(Vec::new()) };
            let call = sql::find(connection, company_id, name).await?;
            // The provider's name may become known later.
            if call.is_none() && matches!(name, CallName::Id(_)) {
                return Err(Error::not_found("call"));
            }
            let shown = call.into_iter().filter(|call| self.filter.admits(call));
            Ok(shown.map(|call| Versioned { version: call.version, record: Arc::new(call) }).collect())
        })
    }

    /// Every open call that may pass the filter, oldest first.
    fn listing<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Option<Listing>>> {
        Box::pin(async move {
            if self.filter.name.is_some() {
                return Ok(None);
            }
            let rows = sql::open_calls(connection, self.company_id(), &self.filter).await?;
            Ok(Some(Listing { subject_type: CALL, rows }))
        })
    }

    fn load<'a>(
        &'a self,
        connection: &'a mut PgConnection,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, Result<Vec<Loaded<Self::Record>>>> {
        Box::pin(async move {
            let calls = sql::find_calls(connection, self.company_id(), ids).await?;
            let loaded = calls.into_iter().map(|call| Loaded {
                id: call.id,
                version: call.version,
                record: self.filter.admits(&call).then(|| Arc::new(call)),
            });
            Ok(loaded.collect())
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        project(event, |call| Some(Arc::clone(call)), |call| self.filter.admits(call))
    }
}

/// A company's servers and operators see the same of all calls of their company, always.
impl ShownFeed for CallFeed {
    fn audience(&self) -> Audience {
        Audience::of_role(&self.principal)
    }

    fn sees_now<'a>(&'a self, _context: &'a Context<'_>, _record: &'a Self::Record) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async { Ok(true) })
    }
}
