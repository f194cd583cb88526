-- Locks calls that nobody else has locked, ascending. Nothing else is read here: this statement's snapshot is older than
-- its locks.
--
-- $1 company
-- $2 ids
select call.id
from (select unnest($2::uuid[]) as id order by id) as wanted
cross join lateral (
    select call.id
    from call
    where call.company_id = $1 and call.id = wanted.id
    for no key update skip locked
) as call
