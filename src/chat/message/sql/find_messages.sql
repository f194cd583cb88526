-- Messages of a chat by id, with the parties of the chat as they are now. Takes no lock.
--
-- $1 company
-- $2 chat
-- $3 ids
select
    message.company_id,
    message.chat_id,
    message.id,
    message.number,
    chat.website_id,
    chat.agent_id,
    chat.visitor,
    message.text,
    message.author,
    message.is_agent,
    message.opening,
    message.inserted_at,
    message.updated_at
from unnest($3::uuid[]) as wanted (id)
cross join lateral (
    select *
    from chat_message as message
    where message.company_id = $1 and message.chat_id = $2 and message.id between wanted.id and wanted.id
    -- Only the primary key gives this order, so that is read, whenever the plan was made.
    order by message.id
    limit 1
) as message
join chat on chat.company_id = $1 and chat.id = $2
