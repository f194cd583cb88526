-- Companies in which somebody may be dispatched, or whose timers an SQL caller left to be set: normally none for longer than
-- a moment.
select owner.company_id as "company_id!"
from call_queue_user as owner
where owner.may_dispatch
union
select slots.company_id
from call_slots as slots
where slots.armed_due is distinct from slots.due_at or slots.armed_lease is distinct from slots.lease_at
limit 1000
