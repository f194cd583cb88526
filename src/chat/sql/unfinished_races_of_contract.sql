-- The races in which a contract has an unfinished chat. The contract is locked for update, so that none is added.
--
-- $1 company
-- $2 contract
select distinct key
from chat
where company_id = $1 and contract_id = $2 and status <> 'FINISHED'
order by key
