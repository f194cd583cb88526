//! Statements on the call queue, each in a file of its own.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    CallQueueSettings, CancelOutcome, CanceledLines, NewCall, QueueItem, QueueUser, Status,
    item::{QueueBlock, QueueStatus},
    slots,
};
use crate::{
    call::{
        CallRecord,
        rules::{CallType, EndReason},
    },
    platform::error::{Error, Result},
};

/// Takes the one lock of a company's queue, waiting.
pub(super) async fn lock_slots(connection: &mut PgConnection, company_id: Uuid) -> Result<()> {
    sqlx::query_file_scalar!("src/call_queue/sql/lock_slots.sql", company_id).fetch_one(connection).await?;
    Ok(())
}

/// Tries it; false if somebody else has it.
pub(super) async fn try_lock_slots(connection: &mut PgConnection, company_id: Uuid) -> Result<bool> {
    let locked = sqlx::query_file_scalar!("src/call_queue/sql/try_lock_slots.sql", company_id);
    Ok(locked.fetch_optional(connection).await?.is_some())
}

/// True if a company has a queue. Takes no lock.
pub(super) async fn has_slots(connection: &mut PgConnection, company_id: Uuid) -> Result<bool> {
    Ok(sqlx::query_file_scalar!("src/call_queue/sql/has_slots.sql", company_id).fetch_one(connection).await?)
}

/// Gives direct calls a slot or a place in line; says why each waits. The slots are locked.
pub(super) async fn initiate_calls(
    connection: &mut PgConnection,
    company_id: Uuid,
    ids: &[(Uuid, Uuid)],
    new: &[&NewCall],
) -> Result<Vec<Option<String>>> {
    let (call_ids, queue_ids): (Vec<Uuid>, Vec<Uuid>) = ids.iter().copied().unzip();
    let column = |value: fn(&NewCall) -> Option<String>| new.iter().map(|new| value(new)).collect::<Vec<_>>();
    let users: Vec<String> = new.iter().map(|new| new.user_id.clone()).collect();
    let agents: Vec<String> = new.iter().map(|new| new.agent_id.clone()).collect();
    let initiated = sqlx::query_file_scalar!(
        "src/call_queue/sql/initiate_calls.sql",
        company_id,
        &call_ids,
        &queue_ids,
        &users,
        &agents,
        &column(|new| new.phone_number.clone()) as &[Option<String>],
        &column(|new| new.contact_id.clone()) as &[Option<String>],
        &column(|new| new.contact_name.clone()) as &[Option<String>],
        &column(|new| new.user_data.as_ref().map(ToString::to_string)) as &[Option<String>],
    );
    Ok(initiated.fetch_all(connection).await?)
}

/// Gives free slots to what waits; returns the calls. The slots are locked.
pub(super) async fn dispatch(connection: &mut PgConnection, company_id: Uuid, most: i32) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_file_scalar!("src/call_queue/sql/dispatch.sql", company_id, most).fetch_all(connection).await?)
}

/// When retries and silent slots are due, if the timers are not set for that. The slots are locked.
pub(super) async fn arm(
    connection: &mut PgConnection,
    company_id: Uuid,
) -> Result<Option<(Option<OffsetDateTime>, Option<OffsetDateTime>)>> {
    let armed = sqlx::query_file!("src/call_queue/sql/arm.sql", company_id).fetch_optional(connection).await?;
    Ok(armed.map(|row| (row.due_at, row.lease_at)))
}

/// Notes that the timers are to be set again. The slots are locked.
pub(super) async fn disarm(connection: &mut PgConnection, company_id: Uuid) -> Result<()> {
    sqlx::query_file!("src/call_queue/sql/disarm.sql", company_id).execute(connection).await?;
    Ok(())
}

/// Frees the slot of a call; returns its item, if that is tried again with the call `again`. Slots and call are locked.
pub(super) async fn release(
    connection: &mut PgConnection,
    company_id: Uuid,
    call_id: Uuid,
    reason: EndReason,
    is_refused: bool,
    again: Uuid,
) -> Result<Option<Uuid>> {
    let released = sqlx::query_file_scalar!(
        "src/call_queue/sql/release.sql",
        company_id,
        call_id,
        reason.as_str(),
        is_refused,
        again
    );
    Ok(released.fetch_one(connection).await?)
}

/// Gives an inbound call a slot. The slots are locked.
pub(super) async fn take_slot(connection: &mut PgConnection, call: &CallRecord, now: OffsetDateTime) -> Result<()> {
    sqlx::query_file_scalar!("src/call_queue/sql/take_slot.sql", call.company_id, call.id, call.user_id, now)
        .fetch_one(connection)
        .await?;
    Ok(())
}

/// Cancels an item that waits; `None`: there is none. The slots are locked.
pub(super) async fn cancel(connection: &mut PgConnection, company_id: Uuid, id: Uuid) -> Result<Option<CancelOutcome>> {
    let outcome =
        sqlx::query_file_scalar!("src/call_queue/sql/cancel.sql", company_id, id).fetch_one(connection).await?;
    match outcome.as_deref() {
        None => Ok(None),
        Some("CANCELED") => Ok(Some(CancelOutcome::Canceled)),
        Some("ALREADY_DISPATCHED") => Ok(Some(CancelOutcome::AlreadyDispatched)),
        Some("ALREADY_ENDED") => Ok(Some(CancelOutcome::AlreadyEnded)),
        Some(other) => Err(Error::internal(format!("call_queue_cancel returned {other}"))),
    }
}

/// Cancels everything that waits in a line; returns how many. The slots are locked.
pub(super) async fn cancel_line(connection: &mut PgConnection, company_id: Uuid, line_id: Uuid) -> Result<i32> {
    Ok(sqlx::query_file_scalar!("src/call_queue/sql/cancel_line.sql", company_id, line_id)
        .fetch_one(connection)
        .await?)
}

/// Writes some of the items that were canceled with their line; returns their calls.
pub(super) async fn write_canceled(
    connection: &mut PgConnection,
    company_id: Uuid,
    line_id: Uuid,
    most: i32,
) -> Result<Vec<Uuid>> {
    let written = sqlx::query_file_scalar!("src/call_queue/sql/write_canceled.sql", company_id, line_id, most);
    Ok(written.fetch_all(connection).await?)
}

/// Sets limits. The slots are locked.
pub(super) async fn set_limits(
    connection: &mut PgConnection,
    company_id: Uuid,
    user_id: Option<&str>,
    limit: Option<i32>,
    system_limit: Option<i32>,
) -> Result<()> {
    sqlx::query_file_scalar!("src/call_queue/sql/set_limits.sql", company_id, user_id, limit, system_limit)
        .fetch_one(connection)
        .await?;
    Ok(())
}

/// Gives retries that are due their places. The slots are locked.
pub(super) async fn admit_due(connection: &mut PgConnection, company_id: Uuid, most: i32) -> Result<i32> {
    Ok(sqlx::query_file_scalar!("src/call_queue/sql/admit_due.sql", company_id, most).fetch_one(connection).await?)
}

/// An item as the call that it stands for.
pub(super) struct ItemCall {
    pub(super) company_id: Uuid,
    pub(super) id: Uuid,
    pub(super) user_id: String,
    pub(super) agent_id: String,
    pub(super) call_type: CallType,
    pub(super) campaign_id: Option<Uuid>,
    pub(super) phone_number: Option<String>,
    pub(super) contact_id: Option<String>,
    pub(super) contact_name: Option<String>,
    pub(super) user_data: Option<serde_json::Value>,
    pub(super) attempt: i32,
    pub(super) is_queued: bool,
    pub(super) version: i32,
    pub(super) queued_at: OffsetDateTime,
    pub(super) left_at: Option<OffsetDateTime>,
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

/// The call of an item. Takes no lock.
pub(super) async fn calls_of_item(
    connection: &mut PgConnection,
    company_id: Uuid,
    id: Uuid,
) -> Result<Vec<CallRecord>> {
    let calls = sqlx::query_file_scalar!("src/call_queue/sql/calls_of_item.sql", company_id, id);
    let calls = calls.fetch_all(&mut *connection).await?;
    calls_of_items(connection, company_id, &calls).await
}

/// The item of a call. Takes no lock.
pub(super) async fn item_of_call(
    connection: &mut PgConnection,
    company_id: Uuid,
    call_id: Uuid,
) -> Result<Option<Uuid>> {
    let found = sqlx::query_file_scalar!("src/call_queue/sql/item_of_call.sql", company_id, call_id);
    Ok(found.fetch_optional(connection).await?)
}

/// Items as the API shows them. Takes no lock.
pub(super) async fn find_items(
    connection: &mut PgConnection,
    company_id: Uuid,
    ids: &[Uuid],
) -> Result<Vec<QueueItem>> {
    let found = sqlx::query_file_as!(QueueItem, "src/call_queue/sql/find_items.sql", company_id, ids);
    Ok(found.fetch_all(connection).await?)
}

/// Limits and counters of a user. Takes no lock.
pub(super) async fn status(connection: &mut PgConnection, company_id: Uuid, user_id: &str) -> Result<Status> {
    let found = sqlx::query_file_as!(Status, "src/call_queue/sql/status.sql", company_id, user_id);
    Ok(found.fetch_one(connection).await?)
}

/// Renews slots; returns those that are there.
pub(super) async fn renew(
    connection: &mut PgConnection,
    company_id: Uuid,
    call_ids: &[Uuid],
    now: OffsetDateTime,
) -> Result<Vec<Uuid>> {
    let renewed = sqlx::query_file_scalar!("src/call_queue/sql/renew.sql", company_id, call_ids, now);
    Ok(renewed.fetch_all(connection).await?)
}

/// Those of some calls that dialers are asked about. Takes no lock.
pub(super) async fn asked_calls(
    connection: &mut PgConnection,
    company_id: Uuid,
    call_ids: &[Uuid],
) -> Result<Vec<Uuid>> {
    let asked = sqlx::query_file_scalar!("src/call_queue/sql/asked_calls.sql", company_id, call_ids);
    Ok(asked.fetch_all(connection).await?)
}

/// A slot, and when it has been silent for long enough.
pub(super) struct SilentSlot {
    pub(super) call_id: Uuid,
    pub(super) asked_at: Option<OffsetDateTime>,
    pub(super) due_at: OffsetDateTime,
}

/// The slots of a company. They are locked.
pub(super) async fn silent_slots(connection: &mut PgConnection, company_id: Uuid) -> Result<Vec<SilentSlot>> {
    let slots = sqlx::query_file_as!(SilentSlot, "src/call_queue/sql/silent_slots.sql", company_id);
    Ok(slots.fetch_all(connection).await?)
}

/// Notes that dialers are asked about a slot. The slots are locked, then the call.
pub(super) async fn ask(
    connection: &mut PgConnection,
    company_id: Uuid,
    call_id: Uuid,
    now: OffsetDateTime,
) -> Result<()> {
    sqlx::query_file!("src/call_queue/sql/ask.sql", company_id, call_id, now).execute(connection).await?;
    Ok(())
}

/// Notes when slots are looked at for silence next. The slots are locked.
pub(super) async fn set_lease_at(
    connection: &mut PgConnection,
    company_id: Uuid,
    at: Option<OffsetDateTime>,
) -> Result<()> {
    sqlx::query_file!("src/call_queue/sql/set_lease_at.sql", company_id, at).execute(connection).await?;
    Ok(())
}

/// Ends of the leases of slots. Takes no lock.
pub(super) async fn leases(
    connection: &mut PgConnection,
    company_id: Uuid,
    call_ids: &[Uuid],
) -> Result<Vec<(Uuid, OffsetDateTime)>> {
    let leases = sqlx::query_file!("src/call_queue/sql/leases.sql", company_id, call_ids);
    Ok(leases.fetch_all(connection).await?.into_iter().map(|row| (row.call_id, row.expires_at)).collect())
}

/// Writes the settings of this server.
pub(super) async fn use_settings(connection: &mut PgConnection, settings: &CallQueueSettings) -> Result<()> {
    sqlx::query_file!(
        "src/call_queue/sql/use_settings.sql",
        settings.user_calls,
        settings.system_calls,
        settings.slot_lease.as_secs_f64(),
        settings.queue_aging.as_secs_f64()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Companies in which somebody may be dispatched.
pub(super) async fn companies_waiting(connection: &mut PgConnection) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_file_scalar!("src/call_queue/sql/companies_waiting.sql").fetch_all(connection).await?)
}

/// The items at the head of a user's lines that may be dispatched: at most `most` of each line. Takes no lock.
pub(super) async fn head_items(
    connection: &mut PgConnection,
    company_id: Uuid,
    user_id: &str,
    call_type: Option<CallType>,
    most: usize,
) -> Result<Vec<Uuid>> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let call_type = call_type.map(type_name);
    let found = sqlx::query_file_scalar!("src/call_queue/sql/head_items.sql", company_id, user_id, call_type, most);
    Ok(found.fetch_all(connection).await?)
}

/// Open items of a user, oldest first. Takes no lock.
pub(super) async fn list_items(
    connection: &mut PgConnection,
    company_id: Uuid,
    user_id: &str,
    call_type: Option<CallType>,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Uuid>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let call_type = call_type.map(type_name);
    let found =
        sqlx::query_file_scalar!("src/call_queue/sql/list_items.sql", company_id, user_id, call_type, after, limit);
    Ok(found.fetch_all(connection).await?)
}

/// A line, and how many items of it wait and have slots.
pub(super) struct LineToCancel {
    pub(super) id: Uuid,
    pub(super) waiting: i32,
    pub(super) dispatched: i64,
}

/// Lines of a user. The slots are locked.
pub(super) async fn lines_to_cancel(
    connection: &mut PgConnection,
    company_id: Uuid,
    lines: &CanceledLines,
) -> Result<Vec<LineToCancel>> {
    let found = sqlx::query_file_as!(
        LineToCancel,
        "src/call_queue/sql/lines_to_cancel.sql",
        company_id,
        lines.user_id,
        lines.call_type.map(type_name),
        lines.campaign_id,
    );
    Ok(found.fetch_all(connection).await?)
}

/// A type as in the database.
const fn type_name(call_type: CallType) -> &'static str {
    match call_type {
        CallType::Direct => "DIRECT",
        CallType::Campaign => "CAMPAIGN",
    }
}

/// Campaign calls of a user that were dispatched although a direct call waited and none had aged. Takes no lock.
pub(super) async fn priority_violations(connection: &mut PgConnection, company_id: Uuid, user_id: &str) -> Result<i64> {
    let found = sqlx::query_file_scalar!("src/call_queue/sql/priority_violations.sql", company_id, user_id);
    Ok(found.fetch_one(connection).await?)
}

/// Users, the longest line first. Takes no lock.
pub(super) async fn list_users(
    connection: &mut PgConnection,
    company_id: Uuid,
    after: Option<(i32, &str)>,
    limit: usize,
) -> Result<Vec<QueueUser>> {
    let (queued, user_id) = after.unzip();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = sqlx::query_file!("src/call_queue/sql/list_users.sql", company_id, queued, user_id, limit);
    let mut users = Vec::new();
    for row in found.fetch_all(connection).await? {
        let status = Status {
            user_limit: row.user_limit,
            active_direct: row.active_direct,
            active_campaign: row.active_campaign,
            queued_direct: row.queued_direct,
            queued_campaign: row.queued_campaign,
            system_limit: row.system_limit,
            system_active: row.system_active,
            waited_ms: row.waited_ms,
            next_direct: row.next_direct,
            next_campaign: row.next_campaign,
        };
        users.push(QueueUser { user_id: row.user_id, status, oldest_queued_at: row.oldest_queued_at });
    }
    Ok(users)
}
