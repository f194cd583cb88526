-- Contracts by id. Takes no lock.
--
-- $1 company
-- $2 ids
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
from unnest($2::uuid[]) as wanted (id)
cross join lateral (
    select * from contract where contract.company_id = $1 and contract.id = wanted.id offset 0
) as contract
