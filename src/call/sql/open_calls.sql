-- The calls of a stream's present state, oldest first: those that have not ended and, for a stream of hang-ups, those that
-- were given up and must be hung up all the same. Those that are queued have no row, and are read from their items. Takes no
-- lock.
--
-- $1 company
-- $2 user, or null
-- $3 campaign, or null
-- $4 also those that were given up
-- $5 also those that are queued
select call.id as "id!", call.version as "version!"
from (
    select call.id, call.version, call.user_id, call.campaign_id
    from call
    where call.company_id = $1 and call.status <> 'ENDED'
    union all
    select call.id, call.version, call.user_id, call.campaign_id
    from call
    where $4 and call.company_id = $1
        and call.status = 'ENDED' and call.end_reason = 'LEASE_EXPIRED' and call.pending_hang_up
    union all
    -- Of one user by its index, of all users else.
    select item.call_id, item.version, item.user_id, item.campaign_id
    from (
        select * from call_queue as item
        where $5 and $2::text is not null and item.company_id = $1 and item.user_id = $2 and item.status = 'QUEUED'
        union all
        (
            select * from call_queue as item
            where $5 and $2::text is null and item.company_id = $1 and item.status = 'QUEUED'
            order by item.call_id
        )
    ) as item
    cross join lateral (
        select *
        from call_queue_line as line
        where line.company_id = $1 and line.id between item.line_id and item.line_id
        order by line.id
        limit 1
    ) as line
    where not call_queue_is_canceled(item, line)
) as call
where ($2::text is null or call.user_id = $2) and ($3::uuid is null or call.campaign_id = $3)
order by call.id
