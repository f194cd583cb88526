-- The calls of some names; a name that no call has is left out. Takes no lock: a call keeps its name.
--
-- $1 company
-- $2 names
select asked.name as "name!", name.call_id as "call_id!"
from unnest($2::text[]) as asked (name)
cross join lateral (
    select name.call_id
    from call_name as name
    where name.company_id = $1 and name.call_control_id = asked.name and name.call_id is not null
    offset 0
) as name
