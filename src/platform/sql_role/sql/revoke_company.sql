-- Takes a company from a database role.
--
-- $1 company
-- $2 role
delete from sql_principal where company_id = $1 and role = $2::text
