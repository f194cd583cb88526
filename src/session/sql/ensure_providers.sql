-- Gives a company the default providers if it has none.
--   $1 company_id  uuid
select session_ensure_providers($1) as "done!"
from company
where id = $1;
