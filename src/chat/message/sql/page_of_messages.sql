-- Messages of chats, of each between two places, both outside: oldest first, or newest first.
--
-- $1 company
-- $2 chats
-- $3, $4 time and id of the message before the page; null: from the oldest
-- $5, $6 time and id of the message behind the page; null: to the newest
-- $7 newest first
-- $8 limit for each chat
select
    message.company_id,
    message.chat_id,
    message.id,
    chat.website_id,
    chat.agent_id,
    chat.visitor,
    message.text,
    message.author,
    message.is_agent,
    message.opening,
    message.inserted_at,
    message.updated_at
from unnest($2::uuid[]) as wanted (chat_id)
cross join lateral (
    select * from chat where chat.company_id = $1 and chat.id = wanted.chat_id offset 0
) as chat
cross join lateral (
    select *
    from chat_message as message
    where message.company_id = $1 and message.chat_id = chat.id
        and ($3::timestamptz is null or (message.inserted_at, message.id) > ($3, $4::uuid))
        and ($5::timestamptz is null or (message.inserted_at, message.id) < ($5, $6::uuid))
    order by
        case when $7 then message.inserted_at end desc,
        case when $7 then message.id end desc,
        message.inserted_at,
        message.id
    limit $8
) as message
order by
    message.chat_id,
    case when $7 then message.inserted_at end desc,
    case when $7 then message.id end desc,
    message.inserted_at,
    message.id
