-- Agents by id.
--
-- $1 company
-- $2 ids
select company_id, id, name
from agent
where company_id = $1 and id = any($2)
