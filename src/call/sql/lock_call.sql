-- Locks a call. Nothing is read here: the snapshot and the time of this statement are older than its lock.
--
-- $1 company
-- $2 call
select call.id
from call
where call.company_id = $1 and call.id = $2
for no key update
