-- True if a company has a queue. Takes no lock.
--
-- $1 company
select exists (select 1 from call_slots where call_slots.company_id = $1) as "has_slots!"
