-- The newest contracts that pass a filter, oldest first.
--
-- $1 company
-- $2 id, $3 status, $4 shift, $5 agent, $6 website: the filter; null matches all
-- $7 website, $8 agent: what the caller's rights narrow it to; null matches all
-- $9 visitor: of the contracts that are not active, only those of its chats; null matches all
-- $10 limit
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
from (
    select *
    from contract
    where contract.company_id = $1
        and ($2::uuid is null or contract.id = $2)
        and ($3::text is null or contract.status = $3)
        and ($4::int is null or contract.session = $4)
        and ($5::uuid is null or contract.agent_id = $5)
        and ($6::uuid is null or contract.website_id = $6)
        and ($7::uuid is null or contract.website_id = $7)
        and ($8::uuid is null or contract.agent_id = $8)
        and (
            $9::text is null
            or contract.status = 'active' and not contract.agent_deleted
            or exists (
                select 1
                from chat
                where chat.company_id = $1 and chat.visitor = $9 and chat.website_id = contract.website_id
                    and chat.contract_id = contract.id
            )
        )
    order by contract.inserted_at desc, contract.id desc
    limit $10
) as contract
order by contract.inserted_at, contract.id
