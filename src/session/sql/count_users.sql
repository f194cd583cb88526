-- How many participants a session has. Takes no lock.
--   $1 company_id  uuid
--   $2 session_id  text
select count(*)::integer as "count!"
from session_participant
where company_id = $1 and session_id = $2;
