-- Inserts a campaign, and its user if that is new. The slots are locked.
--
--  $1..$5   company, id, user, agent, name
--  $6..$9   status, first and last call time, time zone
-- $10..$12  retries, their interval, weight
-- $13..$15  start, whether the window is open, when it turns
-- $16       time
insert into campaign (company_id, id, user_id, agent_id, name, status, first_call_time, last_call_time, time_zone,
    max_retries, retry_interval_minutes, weight, starts_at, is_window_open, window_turns_at, inserted_at, updated_at)
select $1, $2, owner.user_id, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16
from call_queue_find_user($1, $3) as owner
