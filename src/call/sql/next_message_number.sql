-- Counts one more message of a call, which is locked.
--
-- $1, $2 company, call
update call
set messages = messages + 1
where company_id = $1 and id = $2
returning messages
