-- Lines of a user, with what waits in them and what of them has a slot. The slots are locked.
--
-- $1, $2 company, user
-- $3     only of this type, or null
-- $4     only of this campaign, or null
with
dispatched as materialized (
    select item.line_id, count(*) as n
    from active_calls as slot
    cross join lateral (
        select item.line_id
        from call_queue as item
        where item.company_id = $1 and item.id between slot.queue_id and slot.queue_id
        order by item.id
        limit 1
    ) as item
    where slot.company_id = $1 and slot.user_id = $2
    group by item.line_id
)
select line.id, line.n + line.retries as "waiting!", coalesce(dispatched.n, 0) as "dispatched!"
from call_queue_line as line
left join dispatched on dispatched.line_id = line.id
where line.company_id = $1 and line.user_id = $2
    and ($3::text is null or ($3 = 'DIRECT') = (line.campaign_id is null))
    and ($4::uuid is null or line.campaign_id = $4)
order by line.id
