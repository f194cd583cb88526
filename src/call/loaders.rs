//! Reads for many resolvers at once: those that need the same kind of row at the same moment share a statement.

use std::{collections::HashMap, sync::Arc};

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::{
    append::{CallMessage, MessageWindow},
    list::CallSearch,
    operation::Operation,
    record::CallRecord,
    sql,
};
use crate::platform::{
    batch::{Reading, Reads},
    error::Result,
    unit::UnitOfWork,
};

/// Most messages that one statement reads for lists.
const MESSAGES_AT_ONCE: usize = 1_000;

/// A page of calls: whose, which, from where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CallList {
    pub(super) company_id: Uuid,
    pub(super) search: CallSearch,
    pub(super) before: Option<Uuid>,
    pub(super) limit: usize,
}

/// One coalescer for each kind of row. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Loaders {
    /// Calls of the provider's names.
    names: Reads<Uuid, String, Uuid>,
    calls: Reads<Uuid, Uuid, Arc<CallRecord>>,
    call_lists: Reads<CallList, (), Vec<Arc<CallRecord>>>,
    /// Those that run on a call.
    operations: Reads<Uuid, Uuid, Vec<Operation>>,
    /// Of a company's calls.
    messages: Reads<(Uuid, MessageWindow), Uuid, Vec<Arc<CallMessage>>>,
}

/// The rows of each call, in their order.
fn of_calls<V>(rows: impl IntoIterator<Item = V>, call_id: impl Fn(&V) -> Uuid) -> HashMap<Uuid, Vec<V>> {
    let mut found: HashMap<Uuid, Vec<V>> = HashMap::new();
    for row in rows {
        found.entry(call_id(&row)).or_default().push(row);
    }
    found
}

impl Loaders {
    /// Loaders on this database.
    pub(super) fn new(work: &UnitOfWork) -> Self {
        let pool = || work.pool().clone();
        let readers = || work.readers().clone();
        Self {
            names: Reads::records("call_name", pool(), |connection, company_id, names| {
                sql::find_names(connection, company_id, names).boxed()
            }),
            calls: Reads::records("call", pool(), |connection, company_id, ids| {
                async move {
                    let found = sql::find_calls(connection, company_id, ids).await?;
                    Ok(found.into_iter().map(|call| (call.id, Arc::new(call))).collect())
                }
                .boxed()
            }),
            call_lists: Reads::each(
                "call_list",
                pool(),
                readers(),
                |list| list.iter().map(|call| call.bytes()).sum(),
                |connection, list, ()| {
                    async move {
                        let CallList { company_id, search, before, limit } = list;
                        let found = sql::list(connection, company_id, &search, before, limit).await?;
                        Ok(Some(found.into_iter().map(Arc::new).collect()))
                    }
                    .boxed()
                },
            ),
            operations: Reads::records("call_operation", pool(), |connection, company_id, ids| {
                async move {
                    let found = sql::running_operations(connection, company_id, ids).await?;
                    Ok(of_calls(found, |operation| operation.call_id))
                }
                .boxed()
            }),
            messages: Reads::lists(
                "call_message",
                pool(),
                readers(),
                |(_, window)| MESSAGES_AT_ONCE / window.limit.max(1),
                |list| list.iter().map(|message| message.bytes()).sum(),
                |connection, (company_id, window), call_ids| {
                    async move {
                        let found = sql::messages(connection, company_id, call_ids, &window).await?;
                        Ok(of_calls(found.into_iter().map(Arc::new), |message| message.call_id))
                    }
                    .boxed()
                },
            ),
        }
    }

    /// The call of a name.
    pub(super) async fn call_of_name(&self, company_id: Uuid, name: &str) -> Result<Option<Uuid>> {
        self.names.get(company_id, name.to_owned()).await
    }

    /// One call.
    pub(super) async fn call(&self, company_id: Uuid, id: Uuid) -> Result<Option<Arc<CallRecord>>> {
        self.calls.get(company_id, id).await
    }

    /// A page of calls, newest first.
    pub(super) async fn list(&self, reading: &Reading, list: CallList) -> Result<Vec<Arc<CallRecord>>> {
        Ok(self.call_lists.get_for(reading, list, ()).await?.unwrap_or_default())
    }

    /// The operations that run on a call.
    pub(super) async fn operations(&self, company_id: Uuid, call_id: Uuid) -> Result<Vec<Operation>> {
        Ok(self.operations.get(company_id, call_id).await?.unwrap_or_default())
    }

    /// A window of a call's messages, in the window's order.
    pub(super) async fn messages(
        &self,
        reading: &Reading,
        company_id: Uuid,
        call_id: Uuid,
        window: MessageWindow,
    ) -> Result<Vec<Arc<CallMessage>>> {
        Ok(self.messages.get_for(reading, (company_id, window), call_id).await?.unwrap_or_default())
    }
}
