-- Raises the revision of a chat's race, which is locked: a decision that read the line before this grant without locks is
-- then not written.
--
-- $1 company
-- $2 chat
update chat_race
set revision = revision + 1
where company_id = $1 and key = (select chat.key from chat where chat.company_id = $1 and chat.id = $2)
