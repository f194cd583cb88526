-- Locks calls, ascending. Nothing else is read here: the snapshot and the time of this statement are older than its locks.
--
-- $1     company
-- $2, $3 ids and names, of which one is null
select call.id
from (
    select distinct coalesce(wanted.id, name.call_id) as id
    from unnest($2::uuid[], $3::text[]) as wanted (id, name)
    left join lateral (
        select name.call_id
        from call_name as name
        where name.company_id = $1 and name.call_control_id = wanted.name
        offset 0
    ) as name on true
    order by 1
) as wanted
cross join lateral (
    select call.id
    from call
    where call.company_id = $1 and call.id = wanted.id
    for no key update
) as call
