-- Messages of a call with numbers between two, both excluded, in their order or, backward, newest first. Takes no lock.
--
-- $1, $2 company, call
-- $3, $4 after and before these numbers
-- $5     backward
-- $6     at most so many
select message.company_id, message.call_id, message.number, message.id, message.role, message.text, message.inserted_at
from call_message as message
where message.company_id = $1 and message.call_id = $2 and message.number > $3 and message.number < $4
order by case when $5 then -message.number else message.number end
limit $6
