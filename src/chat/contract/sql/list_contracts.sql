-- Contracts that pass a filter, oldest first.
--
-- $1 company
-- $2 id, $3 status, $4 shift, $5 agent, $6 website: the filter; null matches all
-- $7 website, $8 agent: what the caller's rights narrow it to; null matches all
-- $9 limit
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
where contract.company_id = $1
    and ($2::uuid is null or contract.id = $2)
    and ($3::text is null or contract.status = $3)
    and ($4::int is null or contract.session = $4)
    and ($5::uuid is null or contract.agent_id = $5)
    and ($6::uuid is null or contract.website_id = $6)
    and ($7::uuid is null or contract.website_id = $7)
    and ($8::uuid is null or contract.agent_id = $8)
order by contract.inserted_at, contract.id
limit $9
