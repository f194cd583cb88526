-- Locks the chats of races, ascending. The races are locked.
--
-- $1 company
-- $2 keys of races
select id
from chat
where company_id = $1 and key = any($2)
order by id
for no key update
