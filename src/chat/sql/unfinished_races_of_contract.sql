-- The races in which a contract has an unfinished chat. The contract is locked for update, so that none is added.
--
-- $1 company
-- $2 contract
with
-- In the order of the contract's own index, so that it is read, whenever the plan was made.
unfinished as materialized (
    select chat.key
    from chat
    where chat.company_id = $1 and chat.contract_id between $2 and $2 and chat.status <> 'FINISHED'
    order by chat.contract_id, chat.inserted_at
)
select distinct key from unfinished order by key
