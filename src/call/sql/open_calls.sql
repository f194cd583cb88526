-- The calls of a stream's present state, oldest first: those that have not ended and, for a stream of hang-ups, those that
-- were given up and must be hung up all the same. Takes no lock.
--
-- $1 company
-- $2 user, or null
-- $3 campaign, or null
-- $4 also those that were given up
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
) as call
where ($2::text is null or call.user_id = $2) and ($3::uuid is null or call.campaign_id = $3)
order by call.id
