//! Statements on the operations of locked calls.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    call::{
        operation::{Operation, OperationState},
        rules::work::OperationKind,
    },
    platform::error::Result,
};

/// The operations that run on locked calls, and one request's own of each: (principal, request).
pub(in crate::call) async fn operations(
    connection: &mut PgConnection,
    company_id: Uuid,
    asked: &[(Uuid, Option<(&str, &str)>)],
) -> Result<HashMap<Uuid, Vec<Operation>>> {
    let ids: Vec<Uuid> = asked.iter().map(|(id, _)| *id).collect();
    let principals: Vec<Option<String>> = asked.iter().map(|(_, own)| own.map(|own| own.0.to_owned())).collect();
    let requests: Vec<Option<String>> = asked.iter().map(|(_, own)| own.map(|own| own.1.to_owned())).collect();
    let found = sqlx::query_file_as!(
        Operation,
        "src/call/sql/operations.sql",
        company_id,
        &ids,
        &principals as &[Option<String>],
        &requests as &[Option<String>],
    );
    let mut operations: HashMap<Uuid, Vec<Operation>> = HashMap::new();
    for operation in found.fetch_all(connection).await? {
        operations.entry(operation.call_id).or_default().push(operation);
    }
    Ok(operations)
}

/// Of locked calls: the version of the operations, and the greatest token of them.
pub(in crate::call) async fn operation_counters(
    connection: &mut PgConnection,
    company_id: Uuid,
    call_ids: &[Uuid],
) -> Result<HashMap<Uuid, (i32, i64)>> {
    let counters = sqlx::query_file!("src/call/sql/operation_counters.sql", company_id, call_ids);
    let counters = counters.fetch_all(connection).await?;
    Ok(counters.into_iter().map(|row| (row.id, (row.operations, row.last_token))).collect())
}

/// Inserts operations of locked calls, or writes their states and leases.
pub(in crate::call) async fn put_operations(
    connection: &mut PgConnection,
    company_id: Uuid,
    operations: &[&Operation],
) -> Result<()> {
    sqlx::query_file!(
        "src/call/sql/put_operations.sql",
        company_id,
        &operations.iter().map(|operation| operation.call_id).collect::<Vec<_>>(),
        &operations.iter().map(|operation| operation.id).collect::<Vec<_>>(),
        &operations.iter().map(|operation| operation.kind.as_str().to_owned()).collect::<Vec<_>>(),
        &operations.iter().map(|operation| operation.principal.clone()).collect::<Vec<_>>(),
        &operations.iter().map(|operation| operation.request_id.clone()).collect::<Vec<_>>(),
        &operations.iter().map(|operation| operation.token).collect::<Vec<_>>(),
        &operations.iter().map(|operation| operation.generation).collect::<Vec<_>>(),
        &operations.iter().map(|operation| operation.state.as_str().to_owned()).collect::<Vec<_>>(),
        &operations.iter().map(|operation| operation.expires_at).collect::<Vec<_>>(),
        &operations.iter().map(|operation| operation.began_at).collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes the versions of locked calls' operations.
pub(in crate::call) async fn write_operation_versions(
    connection: &mut PgConnection,
    company_id: Uuid,
    versions: &[(Uuid, i32)],
) -> Result<()> {
    let (ids, versions): (Vec<Uuid>, Vec<i32>) = versions.iter().copied().unzip();
    sqlx::query_file!("src/call/sql/write_operation_versions.sql", company_id, &ids, &versions)
        .execute(connection)
        .await?;
    Ok(())
}
