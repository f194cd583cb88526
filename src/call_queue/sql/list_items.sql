-- Open items of a user, oldest first. Takes no lock.
--
-- $1, $2 company, user
-- $3     only of this type, or null
-- $4     after this item, or null
-- $5     most items
select item.id
from call_queue as item
join call_queue_line as line on line.company_id = $1 and line.id = item.line_id
where item.company_id = $1 and item.user_id = $2 and item.status in ('QUEUED', 'PROCESSING')
    and ($3::text is null or item.call_type = $3)
    and ($4::uuid is null or item.id > $4)
    and not call_queue_is_canceled(item, line)
order by item.id
limit $5
