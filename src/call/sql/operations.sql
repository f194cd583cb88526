-- The operations that run on calls, which are locked, and one request's own of each. The lateral subquery with "offset 0"
-- makes every plan look the rows up by their keys, see BATCH_SESSION.
--
-- $1     company
-- $2     calls
-- $3, $4 principals and requests, or null
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
from unnest($2::uuid[], $3::text[], $4::text[]) as asked (call_id, principal, request_id)
cross join lateral (
    select *
    from call_operation as operation
    where operation.company_id = $1 and operation.call_id = asked.call_id
        and (operation.state = 'RUNNING'
            or (operation.principal = asked.principal and operation.request_id = asked.request_id))
    offset 0
) as operation
