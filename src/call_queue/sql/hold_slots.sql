-- Locks slots, ascending, and reads when each has been silent for long enough. Nobody renews them or asks about them until
-- this transaction ends.
--
-- $1 company
-- $2 calls
select slot.call_id, slot.asked_at,
    greatest(slot.asked_at, slot.heard_at, switchboard.resumed_at()) + settings.slot_lease as "due_at!"
from call_queue_settings as settings
cross join (select id from unnest($2::uuid[]) as asked (id) order by id) as asked
cross join lateral (
    select slot.call_id, slot.asked_at, slot.heard_at
    from active_calls as slot
    where slot.company_id = $1 and slot.call_id = asked.id
    for no key update
) as slot
