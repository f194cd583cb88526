-- Locks the chats of races that nobody else has locked, race by race. The races are locked.
--
-- $1 company
-- $2 keys of races
select chat.id
from (select unnest($2::uuid[]) as key order by 1) as race
cross join lateral (
    select chat.id
    from chat
    where chat.company_id = $1 and chat.key = race.key
    order by chat.id
    for no key update skip locked
) as chat
