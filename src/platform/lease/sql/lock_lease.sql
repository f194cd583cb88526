-- Locks a lease. Nothing is read here: this statement's snapshot and time are older than its lock.
--
-- $1..$4  company, subject type, subject id, name
select name
from lease
where company_id = $1 and subject_type = $2 and subject_id = $3 and name = $4
for no key update
