-- The ids of a chat's newest messages, newest first. Takes no lock.
--
-- $1 company
-- $2 chat
-- $3 limit
select message.id
from chat_message as message
where message.company_id = $1 and message.chat_id = $2
order by message.inserted_at desc, message.id desc
limit $3
