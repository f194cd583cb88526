-- Messages of chats, of each between two numbers, both excluded: oldest first, or newest first. Takes no lock.
--
-- $1 company
-- $2 chats
-- $3 number of the message before the page; 0: from the oldest
-- $4 number of the message behind the page; the greatest integer: to the newest
-- $5 newest first
-- $6 limit for each chat
-- One half of the union is empty. Each reads the index on numbers in its direction, and no more of it than the page.
select
    message.company_id as "company_id!",
    message.chat_id as "chat_id!",
    message.id as "id!",
    message.number as "number!",
    chat.website_id,
    chat.agent_id,
    chat.visitor,
    message.text as "text!",
    message.author as "author!",
    message.is_agent as "is_agent!",
    message.opening as "opening!",
    message.inserted_at as "inserted_at!",
    message.updated_at as "updated_at!"
from unnest($2::uuid[]) as wanted (chat_id)
cross join lateral (
    select * from chat where chat.company_id = $1 and chat.id = wanted.chat_id offset 0
) as chat
cross join lateral (
    (
        select *
        from chat_message
        where company_id = $1 and chat_id = chat.id and number > $3 and number < $4 and not $5
        order by number
        limit $6
    )
    union all
    (
        select *
        from chat_message
        where company_id = $1 and chat_id = chat.id and number > $3 and number < $4 and $5
        order by number desc
        limit $6
    )
) as message
order by message.chat_id, case when $5 then -message.number else message.number end
