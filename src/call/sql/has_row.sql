-- True if a call has a row. Takes no lock.
--
-- $1, $2 company, call
select exists (select 1 from call where call.company_id = $1 and call.id = $2) as "has_row!"
