-- The started chat of a visitor's newest race that is not over, if that race has been won.
--
-- $1 company
-- $2 visitor, $3 website, $4 remote address: whose races; null matches all
with
newest_race as (
    select race.key
    from chat as own
    join chat_race as race on race.company_id = own.company_id and race.key = own.key
    where own.company_id = $1 and own.status <> 'FINISHED'
        and ($2::text is null or own.visitor = $2)
        and ($3::uuid is null or own.website_id = $3)
        and ($4::inet is null or own.created_from = $4)
    order by race.inserted_at desc, race.key desc
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
from newest_race
join chat on chat.company_id = $1 and chat.key = newest_race.key
where chat.status = 'STARTED'
