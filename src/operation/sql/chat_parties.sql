-- Who may see a chat.
--
-- $1 company
-- $2 chat
select chat.website_id, chat.visitor, chat.agent_id
from chat
where chat.company_id = $1 and chat.id = $2
