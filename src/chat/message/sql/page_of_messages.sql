-- Messages of a chat between two numbers, both excluded: oldest first, or newest first. Takes no lock.
--
-- $1 company
-- $2 chat
-- $3 number of the message before the page; 0: from the oldest
-- $4 number of the message behind the page; the greatest integer: to the newest
-- $5 newest first
-- $6 limit
with
-- One of the two is empty. Each reads the index on numbers in its direction, and no more of it than the page.
forward as (
    select *
    from chat_message
    where company_id = $1 and chat_id = $2 and number > $3 and number < $4 and not $5
    order by number
    limit $6
),
backward as (
    select *
    from chat_message
    where company_id = $1 and chat_id = $2 and number > $3 and number < $4 and $5
    order by number desc
    limit $6
),
page as (
    select * from forward
    union all
    select * from backward
)
select
    page.company_id as "company_id!",
    page.chat_id as "chat_id!",
    page.id as "id!",
    page.number as "number!",
    chat.website_id,
    chat.agent_id,
    chat.visitor,
    page.text as "text!",
    page.author as "author!",
    page.is_agent as "is_agent!",
    page.opening as "opening!",
    page.inserted_at as "inserted_at!",
    page.updated_at as "updated_at!"
from page
join chat on chat.company_id = $1 and chat.id = $2
order by case when $5 then -page.number else page.number end
