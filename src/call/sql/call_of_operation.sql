-- The call of an operation. Takes no lock: it stays the same.
--
-- $1 company
-- $2 operation
select operation.call_id
from call_operation as operation
where operation.company_id = $1 and operation.id = $2
