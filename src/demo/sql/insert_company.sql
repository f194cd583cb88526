-- Inserts the demo company if it is not there. Waits for another transaction that is inserting it.
--
-- $1 id
insert into company (id, name)
values ($1, 'Demo')
on conflict do nothing
