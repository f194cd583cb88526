-- Locks a line unless somebody else has it locked. True if it is locked now or if there is none.
--
-- $1 company
-- $2 line
with
wanted as materialized (
    select line.chat_id
    from operation_line as line
    where line.company_id = $1 and line.chat_id = $2
),
locked as materialized (
    select line.chat_id
    from operation_line as line
    where line.company_id = $1 and line.chat_id = $2
    for no key update skip locked
)
select not exists (select 1 from wanted) or exists (select 1 from locked) as "is_free!"
