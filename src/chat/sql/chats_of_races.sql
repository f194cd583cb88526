-- The chats of races, each race's oldest first. Takes no lock.
--
-- $1 company
-- $2 keys
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
from unnest($2::uuid[]) as wanted (key)
-- Looked up as in `read_races.sql`.
cross join lateral (
    select *
    from chat
    where chat.company_id = $1 and chat.key between wanted.key and wanted.key
    order by chat.key, chat.contract_id
    offset 0
) as chat
order by chat.inserted_at, chat.id
