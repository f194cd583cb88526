-- Those of some contracts that a visitor has a chat with. Takes no lock.
--
-- $1 company
-- $2 visitor
-- $3 website
-- $4 ids
select distinct chat.contract_id
from chat
where chat.company_id = $1 and chat.visitor = $2 and chat.website_id = $3 and chat.contract_id = any($4)
