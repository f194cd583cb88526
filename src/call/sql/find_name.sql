-- The call of a name. Takes no lock.
--
-- $1 company
-- $2 name
select name.call_id as "call_id!"
from call_name as name
where name.company_id = $1 and name.call_control_id = $2 and name.call_id is not null
