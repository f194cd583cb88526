-- Gives a name, which is locked, to a call.
--
-- $1 company
-- $2 name
-- $3 call
update call_name
set call_id = $3
where company_id = $1 and call_control_id = $2
