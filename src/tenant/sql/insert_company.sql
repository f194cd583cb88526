-- Inserts a company.
--
-- $1 id
-- $2 name
insert into company (id, name) values ($1, $2)
