-- Locks a call and reads it: whoever waits for the lock gets the row as it is once it is locked. Nothing else is read here,
-- because the snapshot and the time of this statement are older than its lock.
--
-- $1 company
-- $2 call; null: by its name
-- $3 name, which a call keeps; null: by its id
with
wanted as materialized (
    select coalesce(
        $2::uuid,
        (select name.call_id from call_name as name where name.company_id = $1 and name.call_control_id = $3::text)
    ) as id
)
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
from wanted
-- On an empty table every index of the company looks as good. Only the primary key gives the order of the ids, so that is
-- read, whenever the plan was made. ("=" would make the order void.)
cross join lateral (
    select *
    from call
    where call.company_id = $1 and call.id between wanted.id and wanted.id
    order by call.id
    for no key update
) as call
