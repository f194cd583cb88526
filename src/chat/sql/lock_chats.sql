-- Locks the chats of races, ascending. The races are locked, so that no chat is added to them meanwhile.
--
-- $1 company
-- $2 keys of races
-- The order by key keeps every plan from using another index than that of (company, key), see read_races.sql.
select chat.id
from (
    select chat.id
    from unnest($2::uuid[]) as wanted (key)
    cross join lateral (
        select id
        from chat
        where company_id = $1 and chat.key between wanted.key and wanted.key
        order by chat.key
        offset 0
    ) as chat
    order by chat.id
) as found
cross join lateral (
    select id from chat where company_id = $1 and chat.id = found.id for no key update
) as chat
