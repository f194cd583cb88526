-- Inserts the agents that are not there.
--
-- $1 company
-- $2 ids
-- $3 names, one beside each id
insert into agent (company_id, id, name)
select $1, new.id, new.name
from unnest($2::uuid[], $3::text[]) as new (id, name)
on conflict do nothing
