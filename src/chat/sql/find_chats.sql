-- Chats by id. Takes no lock.
--
-- $1 company
-- $2 ids
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
from (select distinct unnest($2::uuid[]) as id) as wanted
-- Only the primary key gives this order, so that is read, whenever the plan was made.
cross join lateral (
    select *
    from chat
    where chat.company_id = $1 and chat.id between wanted.id and wanted.id
    order by chat.id
    limit 1
) as chat
