-- Locks the race of a chat, the parent of the chat's line. A chat never changes its race.
--
-- $1 company
-- $2 chat
select race.key
from chat_race as race
where race.company_id = $1
    and race.key = (select chat.key from chat where chat.company_id = $1 and chat.id = $2)
for no key update
