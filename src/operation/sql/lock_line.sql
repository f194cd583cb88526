-- Locks a line. Nothing is read here: the snapshot and the time of this statement are older than its lock.
--
-- $1 company
-- $2 chat
select line.chat_id
from operation_line as line
where line.company_id = $1 and line.chat_id = $2
for no key update
