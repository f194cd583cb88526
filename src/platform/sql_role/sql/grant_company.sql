-- Grants a company to a database role.
--
-- $1 company
-- $2 role
insert into sql_principal (company_id, role)
values ($1, $2::text::name)
on conflict (company_id, role) do nothing
