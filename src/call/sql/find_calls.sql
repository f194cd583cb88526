-- Calls by their ids. Takes no lock. The lateral subquery with "offset 0" makes every plan look the rows up by their keys,
-- see BATCH_SESSION.
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
from unnest($2::uuid[]) as asked (id)
cross join lateral (
    select * from call where call.company_id = $1 and call.id = asked.id offset 0
) as call
