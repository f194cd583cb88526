-- The version of a call's operations, and the greatest token of them. The call is locked.
--
-- $1, $2 company, call
select
    call.operations,
    coalesce((
        select max(operation.token)
        from call_operation as operation
        where operation.company_id = $1 and operation.call_id = $2
    ), 0) as "last_token!"
from call
where call.company_id = $1 and call.id = $2
