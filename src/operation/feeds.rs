//! The stream `coordinationEvents`: the calls that wait now, then every hold as it begins and ends.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    line::LineKey,
    record::{Hold, OPERATION},
    rights,
    rules::{HoldEvent, Waiter},
    sql,
};
use crate::platform::{
    auth::Principal,
    error::Result,
    event::{Event, Interest, Subject, hub::Scope},
    subscription::{ChangeOperation, Feed, Versioned},
};

/// The events of one line.
#[derive(Debug, Clone)]
pub struct CoordinationFeed {
    /// The caller that reads the stream; its rights decide what is shown.
    pub principal: Arc<Principal>,
    /// The line whose holds are shown.
    pub key: LineKey,
}

// Its cursors are positions in the log: the version of the last event that it sent is not the version of its state.
impl Feed for CoordinationFeed {
    type Record = Arc<Hold>;

    fn company_id(&self) -> Uuid {
        self.key.company_id
    }

    fn interests(&self) -> Vec<Interest> {
        let scope = Scope::Subject(self.key.chat_id.clone());
        vec![Interest { company_id: self.key.company_id, subject_type: OPERATION, scope }]
    }

    fn subject(&self) -> Option<Subject> {
        None
    }

    fn snapshot<'a>(&'a self, connection: &'a mut PgConnection) -> BoxFuture<'a, Result<Vec<Versioned<Self::Record>>>> {
        Box::pin(async move {
            let parties = sql::chat_parties(connection, &self.key).await?;
            rights::require_sight(&self.principal, parties.as_ref())?;
            let waiting = sql::waiting_holds(connection, &self.key).await?;
            let hold = |row: sql::WaitingHold| {
                let version = row.began_version;
                let event = HoldEvent::started(Waiter {
                    principal: String::new(),
                    request_id: row.request_id,
                    call_type: row.call_type,
                    place: 0,
                    attempt: row.attempt,
                    actor: String::new(),
                    opposite: row.opposite,
                    lease_ms: 0,
                    began_at: row.began_at,
                    began_version: version,
                    wait_until: row.began_at,
                    server_id: row.attempt,
                    is_live: true,
                });
                let (company_id, chat_id) = (self.key.company_id, &self.key.chat_id);
                let hold = Hold::new(company_id, chat_id, parties.as_ref(), row.began_at, &event);
                Versioned { record: Arc::new(hold), version }
            };
            Ok(waiting.into_iter().map(hold).collect())
        })
    }

    fn project(&self, event: &Event) -> Result<Option<(ChangeOperation, Self::Record)>> {
        let hold = event.record::<Hold>()?;
        Ok(rights::sees(&self.principal, hold.parties.as_ref()).then_some((ChangeOperation::Insert, hold)))
    }
}
