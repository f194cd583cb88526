-- Calls the SQL function of this name for a company.
--   $1 company_id  text
--   $2 session_id  text
--   $3 user_id     text
--   $4 provider    text
--   $5 room_id     text
with
-- Names the company, as an SQL caller does.
company as materialized (
    select set_config('switchboard.company_id', $1, true)
)
select select_session_provider($2, $3, $4, $5) as "result!"
from company;
