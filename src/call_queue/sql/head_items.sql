-- The items at the head of a user's lines that may be dispatched. Takes no lock.
--
-- $1, $2 company, user
-- $3     only of this type, or null
-- $4     most items of a line
select item.id
from call_queue_line as line
cross join lateral (
    select item.id
    from call_queue as item
    where item.company_id = $1 and item.line_id = line.id and item.status = 'QUEUED' and item.number >= line.head
    order by item.number
    limit $4
) as item
where line.company_id = $1 and line.user_id = $2 and line.n > 0 and line.is_open
    and ($3::text is null or ($3 = 'DIRECT') = (line.campaign_id is null))
