-- Locks the chats of races, ascending. The races are locked, so that no chat is added to them.
--
-- $1 company
-- $2 keys of races
with
-- Looked up as in `read_races.sql`.
found as materialized (
    select chat.id
    from (select distinct unnest($2::uuid[]) as key) as wanted
    cross join lateral (
        select chat.id
        from chat
        where chat.company_id = $1 and chat.key between wanted.key and wanted.key
        order by chat.key, chat.contract_id
        offset 0
    ) as chat
)
select chat.id
from (select id from found order by id) as found
cross join lateral (
    select chat.id from chat where chat.company_id = $1 and chat.id = found.id for no key update
) as chat
