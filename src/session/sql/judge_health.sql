-- The sessions whose published health is to change.
select company_id as "company_id!", session_id as "session_id!"
from session_judge_health();
