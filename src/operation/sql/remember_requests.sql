-- Remembers finished requests, so that a late repeat is refused. The line is locked.
--
-- $1, $2  company, line
-- $3..$6  principals, requests, types, remembered until
insert into operation_request (company_id, chat_id, principal, request_id, call_type, forget_at)
select $1, $2, finished.principal, finished.request_id, finished.call_type, finished.forget_at
from unnest($3::text[], $4::text[], $5::text[], $6::timestamptz[])
    as finished (principal, request_id, call_type, forget_at)
on conflict (company_id, chat_id, principal, request_id) do update
set call_type = excluded.call_type, forget_at = excluded.forget_at, place = null, attempt = null, actor = null,
    opposite = null, lease_ms = null, began_at = null, began_version = null, wait_until = null, server_id = null
