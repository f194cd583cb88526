-- The version of each call's operations, and the greatest token of them. The calls are locked.
--
-- $1 company
-- $2 calls
select call.id, call.operations, coalesce(operation.token, 0) as "last_token!"
from unnest($2::uuid[]) as asked (id)
cross join lateral (
    select * from call where call.company_id = $1 and call.id = asked.id offset 0
) as call
cross join lateral (
    select max(operation.token) as token
    from call_operation as operation
    where operation.company_id = $1 and operation.call_id = asked.id
) as operation
