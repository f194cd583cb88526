-- Calls the SQL function of this name for a company.
--   $1  company_id        text
--   $2  session_id        text
--   $3  user_id           text
--   $4  user_name         text     null: keeps
--   $5  connection_state  text
--   $6  current_provider  text
--   $7  device_info       jsonb    null: keeps
--   $8  epoch             integer  null: not known to the caller
--   $9  is_audio_muted    boolean  null: keeps
--   $10 is_video_off      boolean  null: keeps
with
-- Names the company, as an SQL caller does.
company as materialized (
    select set_config('switchboard.company_id', $1, true)
)
select update_user_session_state($2, $3, $4, $5, $6, $7, $8, $9, $10) as "result!"
from company;
