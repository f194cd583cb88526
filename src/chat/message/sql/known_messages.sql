-- Messages that were written before under these ids, or, for an opening message, written again by the customer's client.
-- Takes no lock.
--
-- $1 company
-- $2 chats
-- $3 ids, one beside each chat
select
    wanted.id as "called_id!",
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
from unnest($2::uuid[], $3::uuid[]) as wanted (chat_id, id)
-- In the order of the one index that is meant, so that it is read, whenever the plan was made. Only an opening message has
-- an echo.
cross join lateral (
    (
        select *
        from chat_message as message
        where message.company_id = $1 and message.chat_id = wanted.chat_id and message.id between wanted.id and wanted.id
        order by message.id
        limit 1
    )
    union all
    (
        select *
        from chat_message as message
        where message.company_id = $1 and message.chat_id between wanted.chat_id and wanted.chat_id and message.opening
            and message.echo_id = wanted.id
        order by message.chat_id
        limit 1
    )
) as message
cross join lateral (
    select * from chat where chat.company_id = $1 and chat.id = message.chat_id offset 0
) as chat
