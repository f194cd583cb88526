-- Locks calls that nobody else has locked, ascending, and reads them: a row that was changed before it was locked is returned as
-- it is once it is locked. Nothing else is read here: this statement's snapshot is older than its locks.
--
-- $1 company
-- $2 ids
select
    call.company_id,
    call.id,
    call.call_control_id,
    call.user_id,
    call.agent_id,
    call.call_type as "call_type: CallType",
    call.campaign_id,
    call.phone_number,
    call.contact_id,
    call.contact_name,
    call.user_data,
    call.attempt,
    call.inbound,
    call.status as "status: CallStatus",
    call.end_reason as "end_reason: EndReason",
    call.told_reason as "told_reason: EndReason",
    call.told_at,
    call.untold_at,
    call.pending_hang_up,
    call.dialing,
    call.dialed,
    call.hanging_up,
    call.hung_up_until,
    call.asked,
    call.generation,
    call.version,
    call.queued_at,
    call.started_at,
    call.answered_at,
    call.ended_at,
    call.hang_up_at,
    call.finalize_at,
    call.finalized_at,
    call.abandoned,
    call.lease_expires_at,
    call.inserted_at,
    call.updated_at
from (select unnest($2::uuid[]) as id order by id) as wanted
cross join lateral (
    select *
    from call
    where call.company_id = $1 and call.id = wanted.id
    for no key update skip locked
) as call
