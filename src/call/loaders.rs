//! Reads for many resolvers at once: those that need the same kind of row at the same moment share a statement.

use std::{collections::HashMap, sync::Arc};

use futures_util::FutureExt as _;
use uuid::Uuid;

use super::{operation::Operation, record::CallRecord, sql};
use crate::platform::{batch::Reads, error::Result, unit::UnitOfWork};

/// One coalescer for each kind of row. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Loaders {
    calls: Reads<Uuid, Uuid, Arc<CallRecord>>,
    /// Those that run on a call.
    operations: Reads<Uuid, Uuid, Vec<Operation>>,
}

impl Loaders {
    /// Loaders on this database.
    pub(super) fn new(work: &UnitOfWork) -> Self {
        let pool = || work.pool().clone();
        Self {
            calls: Reads::records("call", pool(), |connection, company_id, ids| {
                async move {
                    let found = sql::find_calls(connection, company_id, ids).await?;
                    Ok(found.into_iter().map(|call| (call.id, Arc::new(call))).collect())
                }
                .boxed()
            }),
            operations: Reads::records("call_operation", pool(), |connection, company_id, ids| {
                async move {
                    let mut found: HashMap<Uuid, Vec<Operation>> = HashMap::new();
                    for operation in sql::running_operations(connection, company_id, ids).await? {
                        found.entry(operation.call_id).or_default().push(operation);
                    }
                    Ok(found)
                }
                .boxed()
            }),
        }
    }

    /// One call.
    pub(super) async fn call(&self, company_id: Uuid, id: Uuid) -> Result<Option<Arc<CallRecord>>> {
        self.calls.get(company_id, id).await
    }

    /// The operations that run on a call.
    pub(super) async fn operations(&self, company_id: Uuid, call_id: Uuid) -> Result<Vec<Operation>> {
        Ok(self.operations.get(company_id, call_id).await?.unwrap_or_default())
    }
}
