-- Messages that were written before under these ids, or, for an opening message, written again by the customer's client.
-- Takes no lock.
--
-- $1 company
-- $2 chats
-- $3 ids, one beside each chat
select
    wanted.id as "called_id!",
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
from unnest($2::uuid[], $3::uuid[]) as wanted (chat_id, id)
cross join lateral (
    select *
    from chat_message as message
    where message.company_id = $1 and message.chat_id = wanted.chat_id
        and (message.id = wanted.id or message.echo_id = wanted.id)
    offset 0
) as message
cross join lateral (
    select * from chat where chat.company_id = $1 and chat.id = message.chat_id offset 0
) as chat
