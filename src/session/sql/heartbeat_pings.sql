-- Heartbeats of many participants of one company; a row for each, in their order.
--   $1 company_id  text
--   $2 session_id  text[]
--   $3 user_id     text[]
with
-- Names the company, as an SQL caller does.
company as materialized (
    select set_config('switchboard.company_id', $1, true)
)
select heard.is_heard as "is_heard!", heard.ping_time as "ping_time!"
from company
cross join lateral heartbeat_pings($2, $3) as heard;
