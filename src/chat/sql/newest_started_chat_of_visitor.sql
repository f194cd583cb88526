-- The started chat of a visitor's newest race that is not over, if that race has been won. Takes no lock.
--
-- Reads the visitor's open chats, which are few, and no race: which of them was asked for last shows in the chats.
--
-- $1 company
-- $2 visitor, by all of its names
-- $3 website
with
open_chat as materialized (
    select own.*
    from unnest($2::text[]) as called (visitor)
    cross join lateral (
        select *
        from chat
        where chat.company_id = $1 and chat.visitor = called.visitor and chat.status <> 'FINISHED'
            and chat.website_id = $3
        order by chat.visitor
        offset 0
    ) as own
),
newest_race as materialized (
    select open_chat.key
    from open_chat
    order by open_chat.inserted_at desc, open_chat.key desc
    limit 1
)
select
    chat.company_id,
    chat.id,
    chat.key,
    chat.website_id,
    chat.contract_id,
    chat.agent_id,
    chat.visitor,
    chat.status as "status: ChatStatus",
    chat.missed,
    chat.close_reason as "close_reason: CloseReason",
    chat.headline,
    chat.customer_name,
    chat.ip_address,
    chat.created_from,
    chat.rating,
    chat.miss_at,
    chat.message_count,
    chat.version,
    chat.inserted_at,
    chat.updated_at,
    chat.started_at,
    chat.finished_at
from open_chat as chat
where chat.status = 'STARTED' and chat.key = (select newest_race.key from newest_race)
