-- The chat of a visitor's newest race that an agent had started, if it ended a short time ago. Takes no lock.
--
-- $1 company
-- $2 visitor, by all of its names
-- $3 website
-- $4 how long ago at most
with
moment as materialized (
    select switchboard.now() as now
),
newest_chat as materialized (
    select own.key, own.visitor
    from unnest($2::text[]) as called (visitor)
    cross join lateral (
        select chat.key, chat.visitor, chat.inserted_at
        from chat
        where chat.company_id = $1 and chat.visitor = called.visitor and chat.website_id = $3
        order by chat.visitor, chat.inserted_at desc
        limit 1
    ) as own
    order by own.inserted_at desc, own.key desc
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
from newest_chat
cross join lateral (
    select *
    from chat
    where chat.company_id = $1 and chat.visitor = newest_chat.visitor and chat.key = newest_chat.key
    order by chat.visitor
    offset 0
) as chat
cross join moment
where chat.status = 'FINISHED' and chat.started_at is not null and chat.finished_at > moment.now - $4::interval
order by chat.finished_at desc
limit 1
