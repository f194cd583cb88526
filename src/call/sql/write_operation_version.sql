-- Writes the version of a call's operations. The call is locked.
--
-- $1, $2 company, call
-- $3     version
update call
set operations = $3
where company_id = $1 and id = $2 and operations <> $3
