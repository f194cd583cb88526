-- Locks contracts, ascending, so that nobody changes them. Whoever offers chats takes this lock before the race.
--
-- $1 company
-- $2 ids
select id
from contract
where company_id = $1 and id = any($2)
order by id
for share
