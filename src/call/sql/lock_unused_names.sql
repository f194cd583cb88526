-- Locks those of some names that no call has. Waits for nobody: a name that is locked is about to be used. Whether they have
-- news is read by the next statement, because this one's snapshot is older than its locks.
--
-- $1, $2 companies and names
select name.company_id, name.call_control_id
from (
    select distinct asked.company_id, asked.call_control_id
    from unnest($1::uuid[], $2::text[]) as asked (company_id, call_control_id)
    order by asked.company_id, asked.call_control_id
) as asked
cross join lateral (
    select name.company_id, name.call_control_id
    from call_name as name
    where name.company_id = asked.company_id
        and name.call_control_id between asked.call_control_id and asked.call_control_id and name.call_id is null
    order by name.call_control_id
    for update skip locked
) as name
