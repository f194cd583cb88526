-- The recommendation of a session that was published last. Takes no lock.
--   $1 company_id  uuid
--   $2 session_id  text
select quality, quality_version
from session_coordination
where company_id = $1 and session_id between $2 and $2
-- Only the primary key gives this order, so that is read, whenever the plan was made.
order by session_id
limit 1;
