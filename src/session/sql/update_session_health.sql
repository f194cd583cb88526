-- Calls the SQL function of this name for a company.
--   $1 company_id  text
--   $2 session_id  text
--   $3 user_id     text
--   $4 status      text
--   $5 metrics     jsonb    null: no sample
--   $6 epoch       integer  null: not known to the caller
with
-- Names the company, as an SQL caller does.
company as materialized (
    select set_config('switchboard.company_id', $1, true)
)
select update_session_health($2, $3, $4, $5, $6) as "result!"
from company;
