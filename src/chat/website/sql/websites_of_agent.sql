-- Those of some websites that an agent has a contract with.
--
-- $1 company
-- $2 agent
-- $3 websites
select distinct website_id
from contract
where company_id = $1 and agent_id = $2 and website_id = any($3)
