-- The started chat of a visitor's newest race that is not over, if that race has been won. Takes no lock.
--
-- $1 company
-- $2 visitor
-- $3 website
with
open_race as materialized (
    select distinct own.key
    from chat as own
    where own.company_id = $1 and own.visitor = $2 and own.website_id = $3 and own.status <> 'FINISHED'
),
-- Looked up by their keys: a join may read all races of the company.
newest_race as materialized (
    select race.key
    from open_race
    cross join lateral (
        select race.key, race.inserted_at
        from chat_race as race
        where race.company_id = $1 and race.key = open_race.key
        offset 0
    ) as race
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
cross join lateral (
    select *
    from chat
    where chat.company_id = $1 and chat.key = newest_race.key and chat.status = 'STARTED'
    offset 0
) as chat
