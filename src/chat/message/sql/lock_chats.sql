-- Locks chats, ascending: the only lock that writers of messages take.
--
-- $1 company
-- $2 ids
select id
from chat
where company_id = $1 and id = any($2)
order by id
for no key update
