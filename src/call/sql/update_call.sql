-- Writes a call, which is locked.
--
--  $1, $2  company, id
--  $3      name
--  $4..$8  status, end reason, told reason, told at, untold at
--  $9..$13 pending hang-up, dialing, dialed, hanging up, hung up until
-- $14, $15 generation, version
-- $16..$21 started, answered, ended, hang-up, finalized, end of the lease
-- $22      time
-- $23, $24 when it is finalized, abandoned operations
-- $25      dialers are asked about it
update call
set call_control_id = $3, status = $4, end_reason = $5, told_reason = $6, told_at = $7, untold_at = $8,
    pending_hang_up = $9, dialing = $10, dialed = $11, hanging_up = $12, hung_up_until = $13, generation = $14, version = $15,
    started_at = $16, answered_at = $17, ended_at = $18, hang_up_at = $19, finalized_at = $20, lease_expires_at = $21,
    updated_at = $22, finalize_at = $23, abandoned = $24, asked = $25
where company_id = $1 and id = $2
