-- Notes in a chat's race, which is locked, that the chat's line was granted. From then on decisions on the race's chats read
-- their lines. The revision rises, so that a decision that was made without locks before this grant is not written.
--
-- $1 company
-- $2 chat
update chat_race
set coordinated = true, revision = revision + 1
where company_id = $1 and key = (select chat.key from chat where chat.company_id = $1 and chat.id = $2)
