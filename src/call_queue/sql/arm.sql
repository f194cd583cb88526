-- Notes that the timers are set for what is due, if they are not. No row: they are. The slots are locked.
--
-- $1 company
update call_slots
set armed_due = due_at, armed_lease = lease_at
where company_id = $1 and (armed_due is distinct from due_at or armed_lease is distinct from lease_at)
returning due_at, lease_at
