-- Inserts a waiter, or gives the place of one to a later attempt of the same request. A finished request of this name
-- that may be forgotten is replaced. The line is locked.
--
--  $1..$4  company, line, principal, request
--  $5      type
--  $6..$14 place, attempt, actor, opposite, lease, began, version of its first event, waits until, server
insert into operation_request as request (company_id, chat_id, principal, request_id, call_type, place, attempt, actor,
    opposite, lease_ms, began_at, began_version, wait_until, server_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
on conflict (company_id, chat_id, principal, request_id) do update
set call_type = excluded.call_type, place = excluded.place, attempt = excluded.attempt, actor = excluded.actor,
    opposite = excluded.opposite, lease_ms = excluded.lease_ms, began_at = excluded.began_at,
    began_version = excluded.began_version, wait_until = excluded.wait_until,
    server_id = excluded.server_id, forget_at = null
