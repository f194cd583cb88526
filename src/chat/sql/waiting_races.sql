-- The races in which visitors wait, other than one that each of them asks for now and that does not exist yet. Takes no
-- lock: whoever withdraws them decides again under their locks. A race comes once for each of its offers.
--
-- $1 company
-- $2 visitors, $3 websites, $4 keys: of each call
select asked.visitor as "visitor!", asked.key as "asked_key!", older.key as "key!"
from unnest($2::text[], $3::uuid[], $4::uuid[]) as asked (visitor, website_id, key)
left join lateral (
    select race.key
    from chat_race as race
    where race.company_id = $1 and race.key = asked.key
    offset 0
) as present on true
cross join lateral (
    select chat.key, chat.status
    from chat
    where chat.company_id = $1 and chat.visitor = asked.visitor and chat.status <> 'FINISHED'
        and chat.website_id = asked.website_id and chat.key <> asked.key
    order by chat.visitor
    offset 0
) as older
where present.key is null and older.status = 'ACTIVE'
