-- Inserts a contract. Its website and agent are there.
--
-- $1 company, $2 id, $3 website, $4 agent, $5 name, $6 color, $7 rate, $8 status, $9 shift, $10 miss time, $11 miss fee
insert into contract
    (company_id, id, website_id, agent_id, name, color, rate, status, session, miss_time, miss_fee)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
returning
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
