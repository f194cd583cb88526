//! Reads of the audit trail, a page at a time.

use std::sync::Arc;

use futures_util::FutureExt as _;
use uuid::Uuid;

use crate::platform::{
    batch::{Reading, Reads},
    error::Result,
    event::{Event, HistoryPlace, Position, history, position_now},
    unit::UnitOfWork,
};

/// Which events are read: the page of a subject's history.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct HistoryPage {
    pub(super) company_id: Uuid,
    pub(super) subject_types: Vec<String>,
    pub(super) subject_id: String,
    pub(super) after: Option<HistoryPlace>,
    pub(super) limit: usize,
}

/// Some events, and the position of the log before they were read.
#[derive(Debug)]
pub(super) struct History {
    pub(super) position: Position,
    pub(super) events: Vec<Event>,
}

/// The event log as the query `events` reads it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct AuditTrail {
    pages: Reads<HistoryPage, (), Arc<History>>,
}

impl AuditTrail {
    /// The audit trail in this database.
    pub fn new(work: &UnitOfWork) -> Self {
        let bytes = |history: &Arc<History>| {
            let event = |event: &Event| size_of::<Event>() + event.payload.len();
            history.events.iter().map(event).sum()
        };
        let pages =
            Reads::each("events", work.pool().clone(), work.readers().clone(), bytes, |connection, page, ()| {
                async move {
                    let HistoryPage { company_id, subject_types, subject_id, after, limit } = page;
                    let types: Vec<&str> = subject_types.iter().map(String::as_str).collect();
                    let (position, _) = position_now(connection).await?;
                    let events = history(connection, company_id, &types, &subject_id, after.as_ref(), limit).await?;
                    Ok(Some(Arc::new(History { position, events })))
                }
                .boxed()
            });
        Self { pages }
    }

    /// One page of a subject's history, oldest first.
    pub(super) async fn page(&self, reading: &Reading, page: HistoryPage) -> Result<Option<Arc<History>>> {
        self.pages.get_for(reading, page, ()).await
    }
}
