-- Locks a contract to give it to another agent: waits for everybody who is offering it a chat.
--
-- $1 company
-- $2 id
select id from contract where company_id = $1 and id = $2 for update
