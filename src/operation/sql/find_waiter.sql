-- One request, if it waits. The line is locked.
--
-- $1, $2 company, line
-- $3, $4 principal, request
select
    request.principal,
    request.request_id,
    request.call_type as "call_type: CallType",
    request.place as "place!",
    request.attempt as "attempt!",
    request.actor as "actor!",
    request.opposite as "opposite!: CallType",
    request.lease_ms as "lease_ms!",
    request.began_at as "began_at!",
    request.wait_until as "wait_until!",
    request.server_id as "server_id!",
    true as "is_live!"
from operation_request as request
where request.company_id = $1 and request.chat_id = $2 and request.principal = $3 and request.request_id = $4
    and request.place is not null
