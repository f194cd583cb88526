-- Messages of calls, of each between two numbers, both excluded: oldest first, or newest first. Takes no lock.
--
-- $1 company
-- $2 calls
-- $3 number of the message before the page; 0: from the oldest
-- $4 number of the message behind the page; the greatest integer: to the newest
-- $5 newest first
-- $6 limit for each call
-- One half of the union is empty. Each reads the primary key in its direction, and no more of it than the page.
select
    message.company_id as "company_id!",
    message.call_id as "call_id!",
    message.number as "number!",
    message.id as "id!",
    message.role as "role!",
    message.text as "text!",
    message.inserted_at as "inserted_at!"
from unnest($2::uuid[]) as wanted (call_id)
cross join lateral (
    (
        select *
        from call_message
        where company_id = $1 and call_id = wanted.call_id and number > $3 and number < $4 and not $5
        order by number
        limit $6
    )
    union all
    (
        select *
        from call_message
        where company_id = $1 and call_id = wanted.call_id and number > $3 and number < $4 and $5
        order by number desc
        limit $6
    )
) as message
order by message.call_id, case when $5 then -message.number else message.number end
