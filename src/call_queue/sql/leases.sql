-- Ends of the leases of slots. Takes no lock.
--
-- $1 company
-- $2 calls
select slot.call_id, greatest(slot.heard_at, switchboard.resumed_at()) + settings.slot_lease as "expires_at!"
from call_queue_settings as settings
cross join unnest($2::uuid[]) as asked (id)
cross join lateral (
    select * from active_calls as slot where slot.company_id = $1 and slot.call_id = asked.id offset 0
) as slot
