-- Deletes waiters: one was granted the line, others were given up or left. The line is locked.
--
-- $1 company
-- $2 line
-- $3 their places
delete from operation_request
where company_id = $1 and chat_id = $2 and place = any ($3)
