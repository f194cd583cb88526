//! Statements that read items, as the API shows them and as the calls that they stand for.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    call::{
        CallRecord, CallSearch,
        rules::{CallStatus, CallType},
    },
    call_queue::{
        QueueItem,
        item::{QueueBlock, QueueStatus},
        slots,
    },
    platform::{db::fetch_by_values, error::Result},
};

/// An item as the call that it stands for.
pub(in crate::call_queue) struct ItemCall {
    pub(in crate::call_queue) company_id: Uuid,
    pub(in crate::call_queue) id: Uuid,
    pub(in crate::call_queue) user_id: String,
    pub(in crate::call_queue) agent_id: String,
    pub(in crate::call_queue) call_type: CallType,
    pub(in crate::call_queue) campaign_id: Option<Uuid>,
    pub(in crate::call_queue) phone_number: Option<String>,
    pub(in crate::call_queue) contact_id: Option<String>,
    pub(in crate::call_queue) contact_name: Option<String>,
    pub(in crate::call_queue) user_data: Option<serde_json::Value>,
    pub(in crate::call_queue) attempt: i32,
    pub(in crate::call_queue) is_queued: bool,
    pub(in crate::call_queue) version: i32,
    pub(in crate::call_queue) queued_at: OffsetDateTime,
    pub(in crate::call_queue) left_at: Option<OffsetDateTime>,
}

/// Those of these calls that have no row, because they wait or were canceled while they waited. A call that was dispatched
/// and then canceled has a row, and is here too. Takes no lock.
pub(crate) async fn calls_of_items(
    connection: &mut PgConnection,
    company_id: Uuid,
    call_ids: &[Uuid],
) -> Result<Vec<CallRecord>> {
    let found = sqlx::query_file_as!(ItemCall, "src/call_queue/sql/calls_of_items.sql", company_id, call_ids);
    Ok(found.fetch_all(connection).await?.into_iter().map(slots::undispatched).collect())
}

/// A page of calls that wait or ended in the queue, newest first; in no order between the two, and with some that were
/// dispatched and then canceled, which have a row. Takes no lock.
pub(crate) async fn undispatched_calls(
    connection: &mut PgConnection,
    company_id: Uuid,
    search: &CallSearch,
    before: Option<Uuid>,
    limit: usize,
) -> Result<Vec<CallRecord>> {
    let is_wanted = |status| search.status.as_ref().is_none_or(|wanted| wanted.contains(&status));
    let states = [(CallStatus::Queued, "QUEUED"), (CallStatus::Ended, "CANCELED")];
    let states = states.iter().filter(|(status, _)| is_wanted(*status)).map(|(_, of_item)| (*of_item).to_owned());
    let states: Vec<String> = states.collect();
    if states.is_empty() {
        return Ok(Vec::new());
    }
    let found = sqlx::query_file_as!(
        ItemCall,
        "src/call_queue/sql/list_undispatched.sql",
        company_id,
        search.user_id.as_deref(),
        search.campaign_id,
        &states,
        before,
        i64::try_from(limit).unwrap_or(i64::MAX),
    );
    Ok(fetch_by_values(connection, found).await?.into_iter().map(slots::undispatched).collect())
}

/// The call of an item. Takes no lock.
pub(in crate::call_queue) async fn calls_of_item(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
) -> Result<Vec<CallRecord>> {
    let calls = sqlx::query_file_scalar!("src/call_queue/sql/calls_of_item.sql", company_id, id);
    let calls = calls.fetch_all(&mut *connection).await?;
    calls_of_items(connection, company_id, &calls).await
}

/// The item of a call. Takes no lock.
pub(in crate::call_queue) async fn item_of_call(
    connection: &mut PgConnection,
    company_id: Uuid,
    call_id: Uuid,
) -> Result<Option<Uuid>> {
    let found = sqlx::query_file_scalar!("src/call_queue/sql/item_of_call.sql", company_id, call_id);
    Ok(found.fetch_optional(connection).await?)
}

/// Items as the API shows them. Takes no lock.
pub(in crate::call_queue) async fn find_items(
    connection: &mut PgConnection,
    company_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<QueueItem>> {
    let found = sqlx::query_file_as!(QueueItem, "src/call_queue/sql/find_items.sql", company_id, ids);
    Ok(found.fetch_all(connection).await?)
}
