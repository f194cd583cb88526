-- A page of calls, newest first. Takes no lock.
--
-- $1 company
-- $2 user, or null
-- $3 campaign, or null
-- $4 states, or null
-- $5 only calls before this one, or null
-- $6 at most so many
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
from call
where call.company_id = $1
    and ($2::text is null or call.user_id = $2)
    and ($3::uuid is null or call.campaign_id = $3)
    and ($4::text[] is null or call.status = any ($4))
    and ($5::uuid is null or call.id < $5)
order by call.id desc
limit $6
