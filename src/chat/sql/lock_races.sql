-- Locks races, ascending. Nothing else is read here: this statement's snapshot is older than its locks.
--
-- $1 company
-- $2 keys
select key
from chat_race
where company_id = $1 and key = any($2)
order by key
for no key update
