-- Gives the place of a waiter to a later attempt of the same request. The line is locked.
--
-- $1..$4 company, line, principal, request
-- $5..$8 attempt, lease, waits until, server
update operation_request
set attempt = $5, lease_ms = $6, wait_until = $7, server_id = $8
where company_id = $1 and chat_id = $2 and principal = $3 and request_id = $4 and place is not null
