-- Locks races that nobody else has locked, ascending. Nothing else is read here: this statement's snapshot is older than
-- its locks.
--
-- $1 company
-- $2 keys of races
-- $3 chats whose races are wanted too
with
wanted as materialized (
    select unnest($2::uuid[]) as key
    union
    select chat.key
    from unnest($3::uuid[]) as asked (id)
    cross join lateral (
        select chat.key from chat where chat.company_id = $1 and chat.id = asked.id offset 0
    ) as chat
)
select race.key
from (select key from wanted order by key) as wanted
cross join lateral (
    select chat_race.key
    from chat_race
    where chat_race.company_id = $1 and chat_race.key = wanted.key
    for no key update skip locked
) as race
