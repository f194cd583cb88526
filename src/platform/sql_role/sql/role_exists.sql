-- True if the database knows this role.
--
-- $1 role
select exists (select 1 from pg_roles where rolname = $1::text) as "there!"
