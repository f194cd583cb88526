-- Makes an agent known; a name replaces the one before, no name keeps it.
--
-- $1 company
-- $2 id
-- $3 name
insert into agent (company_id, id, name)
values ($1, $2, $3)
on conflict (company_id, id) do update
    set name = excluded.name
    where excluded.name is not null and agent.name is distinct from excluded.name
