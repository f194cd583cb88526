-- Inserts the contracts that are not there.
--
-- $1 company
-- $2 website
-- $3 ids
-- $4 agents, $5 shifts: one of each beside each id
-- $6 seconds until an unanswered chat is flagged missed
insert into contract (company_id, id, website_id, agent_id, name, session, miss_time)
select $1, new.id, $2, new.agent_id, 'Shift ' || new.session, new.session, $6
from unnest($3::uuid[], $4::uuid[], $5::int[]) as new (id, agent_id, session)
on conflict do nothing
