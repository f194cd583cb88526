-- The recommendation of a session that was published last. Takes no lock.
--   $1 company_id  uuid
--   $2 session_id  text
select quality, quality_version
from session_coordination
where company_id = $1 and session_id = $2;
