-- Locks slots, ascending. Nobody renews them or asks about them until this transaction ends. Nothing is read here: this
-- statement's snapshot is older than its locks.
--
-- $1 company
-- $2 calls
select slot.call_id
from (select unnest($2::uuid[]) as id order by id) as asked
cross join lateral (
    select slot.call_id
    from active_calls as slot
    where slot.company_id = $1 and slot.call_id = asked.id
    for no key update
) as slot
