-- The call of an item. Takes no lock.
--
-- $1, $2 company, item
select item.call_id
from call_queue as item
where item.company_id = $1 and item.id between $2 and $2
order by item.id
limit 1
