-- Lines of a user, with what waits in them and what of them has a slot. The slots are locked.
--
-- $1, $2 company, user
-- $3     only of this type, or null
-- $4     only of this campaign, or null
select
    line.id,
    line.n + line.retries as "waiting!",
    (
        select count(*)
        from active_calls as slot
        join call_queue as item on item.company_id = $1 and item.id = slot.queue_id
        where slot.company_id = $1 and item.line_id = line.id
    ) as "dispatched!"
from call_queue_line as line
where line.company_id = $1 and line.user_id = $2
    and ($3::text is null or ($3 = 'DIRECT') = (line.campaign_id is null))
    and ($4::uuid is null or line.campaign_id = $4)
order by line.id
