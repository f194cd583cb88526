//! Statements on the call queue, each in a file of its own.

mod items;

use std::time::Duration;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{CallQueueSettings, CancelOutcome, CanceledLines, NewCall, QueueUser, Status};
use crate::{
    call::{
        CallRecord,
        rules::{CallStatus, CallType, EndReason},
    },
    platform::{
        clock,
        db::fetch_by_values,
        error::{Error, Result},
    },
};
pub(super) use items::{ItemCall, calls_of_item, find_items, item_of_call};
pub(crate) use items::{calls_of_items, undispatched_calls};

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
pub(super) async fn dispatch(connection: &mut PgConnection, company_id: Uuid, most: i32) -> Result<Vec<CallRecord>> {
    let dispatched = sqlx::query_file_as!(CallRecord, "src/call_queue/sql/dispatch.sql", company_id, most);
    Ok(dispatched.fetch_all(connection).await?)
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

/// Frees the slots of calls that have ended; returns the new calls of those items that are tried again. Slots and calls are
/// locked.
pub(super) async fn release(
    connection: &mut PgConnection,
    company_id: Uuid,
    ended: &[&CallRecord],
) -> Result<Vec<Uuid>> {
    let no_reason = || Error::internal("a call ended without a reason");
    let reason = |call: &&CallRecord| call.end_reason.map(|reason| reason.as_str().to_owned()).ok_or_else(no_reason);
    let reasons = ended.iter().map(reason).collect::<Result<Vec<String>>>()?;
    let ids: Vec<Uuid> = ended.iter().map(|call| call.id).collect();
    let refused = |call: &&CallRecord| call.call_control_id.is_none() && call.started_at.is_none();
    let are_refused: Vec<bool> = ended.iter().map(refused).collect();
    // A call for each item, if that is tried again.
    let again: Vec<Uuid> = ended.iter().map(|_| clock::new_id()).collect();
    let released =
        sqlx::query_file_scalar!("src/call_queue/sql/release.sql", company_id, &ids, &reasons, &are_refused, &again);
    Ok(released.fetch_all(connection).await?)
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

/// Limits and counters of a user. Takes no lock.
pub(super) async fn status(connection: &mut PgConnection, company_id: Uuid, user_id: &str) -> Result<Status> {
    let found = sqlx::query_file_as!(Status, "src/call_queue/sql/status.sql", company_id, user_id);
    Ok(found.fetch_one(connection).await?)
}

/// Renews slots; returns those that are there. They are held, or their calls are locked.
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

/// Locks those of some calls' slots that are there: until the transaction ends nobody renews them. After the locks of the
/// slots as a whole and of calls.
pub(super) async fn hold_slots(connection: &mut PgConnection, company_id: Uuid, call_ids: &[Uuid]) -> Result<()> {
    sqlx::query_file_scalar!("src/call_queue/sql/hold_slots.sql", company_id, call_ids).fetch_all(connection).await?;
    Ok(())
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
    sqlx::query_file_scalar!(
        "src/call_queue/sql/use_settings.sql",
        settings.user_calls,
        settings.system_calls,
        settings.slot_lease.as_secs_f64(),
        settings.queue_aging.as_secs_f64()
    )
    .fetch_one(connection)
    .await?;
    Ok(())
}

/// Companies whose users were settled for other settings, with the version of the settings.
pub(super) async fn companies_unsettled(connection: &mut PgConnection) -> Result<Vec<(Uuid, i32)>> {
    let unsettled = sqlx::query_file!("src/call_queue/sql/companies_unsettled.sql").fetch_all(connection).await?;
    Ok(unsettled.into_iter().map(|row| (row.company_id, row.version)).collect())
}

/// Settles users after a change of the settings; returns the last one, unless there are no more. The slots are locked.
pub(super) async fn refresh_users(
    connection: &mut PgConnection,
    company_id: Uuid,
    after: &str,
    most: i32,
) -> Result<Option<String>> {
    let last = sqlx::query_file_scalar!("src/call_queue/sql/refresh_users.sql", company_id, after, most);
    Ok(last.fetch_one(connection).await?)
}

/// Notes for which version of the settings users were settled. The slots are locked.
pub(super) async fn note_settled(connection: &mut PgConnection, company_id: Uuid, version: i32) -> Result<()> {
    sqlx::query_file!("src/call_queue/sql/note_settled.sql", company_id, version).execute(connection).await?;
    Ok(())
}

/// Raises the version of a company's limits. The slots are locked.
pub(super) async fn raise_limits(connection: &mut PgConnection, company_id: Uuid) -> Result<i32> {
    Ok(sqlx::query_file_scalar!("src/call_queue/sql/raise_limits.sql", company_id).fetch_one(connection).await?)
}

/// After what time the order of a user's calls changes although nothing happens. Takes no lock.
pub(super) async fn changes_in(
    connection: &mut PgConnection,
    company_id: Uuid,
    user_id: &str,
) -> Result<Option<Duration>> {
    let changes = sqlx::query_file_scalar!("src/call_queue/sql/changes_in.sql", company_id, user_id);
    let milliseconds = changes.fetch_optional(connection).await?.flatten();
    Ok(milliseconds.and_then(|time| u64::try_from(time).ok()).map(Duration::from_millis))
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
    let found = sqlx::query_file!("src/call_queue/sql/list_items.sql", company_id, user_id, call_type, after, limit);
    Ok(fetch_by_values(connection, found).await?.into_iter().map(|item| item.id).collect())
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
    for row in fetch_by_values(connection, found).await? {
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
