-- Calls the SQL function of this name for a company.
--   $1 company_id  text
--   $2 session_id  text
with
-- Names the company, as an SQL caller does.
company as materialized (
    select set_config('switchboard.company_id', $1, true)
)
select detect_stale_connections($2) as "result!"
from company;
