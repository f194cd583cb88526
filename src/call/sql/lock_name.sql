-- Locks a name.
--
-- $1 company
-- $2 name
select name.call_id
from call_name as name
where name.company_id = $1 and name.call_control_id = $2
for no key update
