-- The operations that run on some calls. Takes no lock. The lateral subquery with "offset 0" makes every plan look the
-- rows up by their keys, see BATCH_SESSION.
--
-- $1 company
-- $2 calls
with
moment as materialized (
    select switchboard.now() as now
)
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
from moment
cross join unnest($2::uuid[]) as asked (id)
cross join lateral (
    select *
    from call_operation as operation
    where operation.company_id = $1 and operation.call_id = asked.id and operation.state = 'RUNNING'
    offset 0
) as operation
where operation.expires_at > moment.now
order by operation.began_at
