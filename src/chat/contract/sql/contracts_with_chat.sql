-- Those of some contracts that a visitor has a chat with. Takes no lock.
--
-- $1 company
-- $2 visitor
-- $3 website
-- $4 ids
with
-- In the order of the visitors' own index, so that it is read, whenever the plan was made.
own as materialized (
    select chat.contract_id, chat.website_id
    from chat
    where chat.company_id = $1 and chat.visitor between $2 and $2
    order by chat.visitor, chat.inserted_at
)
select distinct own.contract_id from own where own.website_id = $3 and own.contract_id = any($4)
