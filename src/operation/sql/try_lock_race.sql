-- Locks the race of a chat, the parent of the chat's line, unless somebody else has it locked. True if it is locked now
-- or if there is none.
--
-- $1 company
-- $2 chat
with
wanted as materialized (
    select race.key
    from chat_race as race
    where race.company_id = $1
        and race.key = (select chat.key from chat where chat.company_id = $1 and chat.id = $2)
),
locked as materialized (
    select race.key
    from chat_race as race
    where race.company_id = $1
        and race.key = (select chat.key from chat where chat.company_id = $1 and chat.id = $2)
    for no key update skip locked
)
select not exists (select 1 from wanted) or exists (select 1 from locked) as "is_free!"
