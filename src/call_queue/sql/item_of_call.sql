-- The item of a call. Takes no lock.
--
-- $1 company
-- $2 call
select item.id from call_queue as item where item.company_id = $1 and item.call_id = $2
