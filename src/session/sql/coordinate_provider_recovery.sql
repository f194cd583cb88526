-- Calls the SQL function of this name for a company.
--   $1 company_id       text
--   $2 session_id       text
--   $3 failed_provider  text
--   $4 initiated_by     text
--   $5 epoch            integer  null: not known to the caller
--   $6 reason           text     null: none
--   $7 kind             text
with
-- Names the company, as an SQL caller does.
company as materialized (
    select set_config('switchboard.company_id', $1, true)
)
select coordinate_provider_recovery($2, $3, $4, $5, $6, $7) as "result!"
from company;
