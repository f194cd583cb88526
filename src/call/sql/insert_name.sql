-- Inserts a name that no call has, so that there is a row to lock.
--
-- $1 company
-- $2 name
insert into call_name (company_id, call_control_id)
values ($1, $2)
on conflict (company_id, call_control_id) do nothing
