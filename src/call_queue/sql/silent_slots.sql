-- Slots without news for longer than their lease, and when the next one may be silent for so long. The slots are locked.
--
-- $1 company
select
    slot.call_id,
    slot.asked_at,
    greatest(slot.asked_at, slot.heard_at, switchboard.resumed_at()) + settings.slot_lease as "due_at!"
from active_calls as slot
cross join call_queue_settings as settings
where slot.company_id = $1
order by slot.call_id
