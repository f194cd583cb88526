-- Writes a campaign. The slots are locked.
--
--  $1, $2   company, id
--  $3..$5   agent, name, status
--  $6..$8   first and last call time, time zone
--  $9..$11  retries, their interval, weight
-- $12..$14  start, whether the window is open, when it turns
-- $15..$18  queued, canceled, version, time
-- An active one that may have nothing open is settled at the end of the transaction.
update campaign
set agent_id = $3, name = $4, status = $5, first_call_time = $6, last_call_time = $7, time_zone = $8, max_retries = $9,
    retry_interval_minutes = $10, weight = $11, starts_at = $12, is_window_open = $13, window_turns_at = $14, queued = $15,
    canceled = $16, version = $17, updated_at = $18,
    is_touched = $5 = 'ACTIVE' and $15 = 0 and processing = 0 and completed + failed + $16 + skipped > 0
where company_id = $1 and id = $2
