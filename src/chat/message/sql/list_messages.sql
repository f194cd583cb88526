-- The ids and numbers of a chat's newest messages, newest first. Takes no lock.
--
-- $1 company
-- $2 chat
-- $3 limit
select message.id, message.number
from chat_message as message
where message.company_id = $1 and message.chat_id = $2
order by message.number desc
limit $3
