-- The operations that run on a call, which is locked, and one request's own.
--
-- $1, $2 company, call
-- $3, $4 principal and request, or null
select
    operation.id,
    operation.call_id,
    operation.kind as "kind: OperationKind",
    operation.principal,
    operation.request_id,
    operation.token,
    operation.generation,
    operation.state as "state: OperationState",
    operation.expires_at,
    operation.began_at
from call_operation as operation
where operation.company_id = $1 and operation.call_id = $2
    and (operation.state = 'RUNNING' or (operation.principal = $3 and operation.request_id = $4))
