-- Tries the one lock of a company's queue, for timers. No row: somebody else has it, or there is no queue.
--
-- $1 company
select true as "locked!"
from call_slots
where call_slots.company_id = $1
for no key update skip locked
