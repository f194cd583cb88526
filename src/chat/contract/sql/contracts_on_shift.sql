-- The contracts that are offered chats of a website in a shift. Takes no lock.
--
-- $1 company
-- $2 website
-- $3 shift
-- $4 limit
select
    contract.company_id,
    contract.id,
    contract.website_id,
    contract.agent_id,
    contract.name,
    contract.color,
    contract.rate,
    contract.status as "status: ContractStatus",
    contract.session as shift,
    contract.miss_time as chat_miss_time,
    contract.miss_fee as chat_miss_fee,
    contract.job_id,
    contract.proposal_id,
    contract.agent_deleted,
    contract.version,
    contract.inserted_at,
    contract.updated_at
from contract
where contract.company_id = $1 and contract.website_id = $2 and contract.session = $3
    and contract.status = 'active' and not contract.agent_deleted
order by contract.id
limit $4
