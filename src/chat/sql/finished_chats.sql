-- The newest finished chats that pass a stream's filter: the second part of its snapshot.
--
-- $1 company
-- $2 key, $3 contract: the filter; null matches all
-- $4 visitor, $5 website, $6 agent: what the caller's rights narrow it to; null matches all
-- $7 limit
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
from chat
where chat.company_id = $1 and chat.status = 'FINISHED'
    and ($2::uuid is null or chat.key = $2)
    and ($3::uuid is null or chat.contract_id = $3)
    and ($4::text is null or chat.visitor = $4)
    and ($5::uuid is null or chat.website_id = $5)
    and ($6::uuid is null or chat.agent_id = $6)
order by chat.inserted_at desc
limit $7
