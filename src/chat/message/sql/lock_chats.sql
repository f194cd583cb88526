-- Locks chats, ascending: the only lock that writers of messages take.
--
-- $1 company
-- $2 ids
select chat.id
from (select distinct unnest($2::uuid[]) as id order by id) as wanted
cross join lateral (
    select chat.id from chat where chat.company_id = $1 and chat.id = wanted.id for no key update
) as chat
