-- Writes calls, which are locked; of each call all that may change.
--
--  $1, $2      company, ids
--  $3          names
--  $4..$6      status, end reason, told reason
--  $7, $8      told at, untold at
--  $9..$12     pending hang-up, dialing, dialed, hanging up
-- $13, $14     hung up until, dialers are asked about it
-- $15, $16     generation, version
-- $17..$19     started, answered, ended
-- $20..$22     when it is hung up, when it is finalized, finalized
-- $23..$25     abandoned operations, end of the lease, time
with
-- By its key, whatever the statistics, see BATCH_SESSION.
found as materialized (
    select call.tid, new.*
    from unnest(
        $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[],
        $9::boolean[], $10::boolean[], $11::boolean[], $12::boolean[], $13::timestamptz[], $14::boolean[], $15::int[],
        $16::int[], $17::timestamptz[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[],
        $21::timestamptz[], $22::timestamptz[], $23::int[], $24::timestamptz[], $25::timestamptz[]
    ) as new (
        id, call_control_id, status, end_reason, told_reason, told_at, untold_at, pending_hang_up, dialing, dialed,
        hanging_up, hung_up_until, asked, generation, version, started_at, answered_at, ended_at, hang_up_at,
        finalize_at, finalized_at, abandoned, lease_expires_at, updated_at
    )
    cross join lateral (
        select call.ctid as tid from call where call.company_id = $1 and call.id = new.id offset 0
    ) as call
)
update call
set call_control_id = found.call_control_id, status = found.status, end_reason = found.end_reason,
    told_reason = found.told_reason, told_at = found.told_at, untold_at = found.untold_at,
    pending_hang_up = found.pending_hang_up, dialing = found.dialing, dialed = found.dialed,
    hanging_up = found.hanging_up, hung_up_until = found.hung_up_until, asked = found.asked,
    generation = found.generation, version = found.version, started_at = found.started_at,
    answered_at = found.answered_at, ended_at = found.ended_at, hang_up_at = found.hang_up_at,
    finalize_at = found.finalize_at, finalized_at = found.finalized_at, abandoned = found.abandoned,
    lease_expires_at = found.lease_expires_at, updated_at = found.updated_at
from found
where call.ctid = found.tid
