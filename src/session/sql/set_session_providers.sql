-- Calls the SQL function of this name for a company.
--   $1 company_id  text
--   $2 name        text[]     best first
--   $3 is_enabled  boolean[]
--   $4 actor       text
with
-- Names the company, as an SQL caller does.
company as materialized (
    select set_config('switchboard.company_id', $1, true)
)
select set_session_providers($2, $3, $4) as "result!"
from company;
