-- True if an agent has a contract with a website.
--
-- $1 company
-- $2 website
-- $3 agent
select exists (
    select 1 from contract where company_id = $1 and website_id = $2 and agent_id = $3
) as "serves!"
