-- Writes what can change of a contract and raises its version. It is locked.
--
-- $1 company, $2 id
-- $3 agent, $4 name, $5 color, $6 rate, $7 status, $8 shift, $9 miss time, $10 miss fee, $11 agent deleted
with
moment as materialized (
    select switchboard.now() as now
)
update contract
set agent_id = $3, name = $4, color = $5, rate = $6, status = $7, session = $8, miss_time = $9, miss_fee = $10,
    agent_deleted = $11, version = version + 1, updated_at = moment.now
from moment
where contract.company_id = $1 and contract.id = $2
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
