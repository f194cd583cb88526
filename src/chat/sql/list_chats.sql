-- A page of chats that pass a search, newest first.
--
-- $1 company
-- $2 statuses, $3 contract, $4 website: what is wanted; null matches all
-- $5 visitor, $6 website, $7 agent: what the caller's rights narrow it to; null matches all
-- $8, $9 time and id of the chat before the page; null: from the newest
-- $10 limit
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
where chat.company_id = $1
    and ($2::text[] is null or chat.status = any($2))
    and ($3::uuid is null or chat.contract_id = $3)
    and ($4::uuid is null or chat.website_id = $4)
    and ($5::text is null or chat.visitor = $5)
    and ($6::uuid is null or chat.website_id = $6)
    and ($7::uuid is null or chat.agent_id = $7)
    and ($8::timestamptz is null or (chat.inserted_at, chat.id) < ($8, $9::uuid))
order by chat.inserted_at desc, chat.id desc
limit $10
