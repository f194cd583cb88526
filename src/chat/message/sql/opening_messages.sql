-- The opening messages of chats in which the customer has written nothing else. Takes no lock.
--
-- $1 company
-- $2 chats
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
from (select distinct unnest($2::uuid[]) as id) as wanted
cross join lateral (
    select * from chat where chat.company_id = $1 and chat.id = wanted.id offset 0
) as chat
cross join lateral (
    select *
    from chat_message as message
    where message.company_id = $1 and message.chat_id = chat.id and message.opening
    offset 0
) as message
-- Not "not exists", which the planner may turn into a hash of all messages of the company.
where (
    select true
    from chat_message as other
    where other.company_id = $1 and other.chat_id = chat.id and not other.opening and not other.is_agent
    limit 1
) is null
