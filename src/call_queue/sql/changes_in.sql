-- In how many milliseconds the order of a user's calls changes although nothing happens: its campaigns will have waited for
-- long enough to precede a direct call, or a retry of the company is due and the user has one. Null: it does not. Takes no
-- lock.
--
-- $1, $2 company, user
with
moment as materialized (
    select switchboard.now() as now
)
select ceil(extract(epoch from least(
    case when settings.aging > interval '0' and direct.n > 0 and owner.campaign_since + settings.aging > moment.now
        then owner.campaign_since + settings.aging - moment.now end,
    case when slots.due_at is not null and exists (
            select 1
            from call_queue_line as line
            where line.company_id = $1 and line.user_id = $2 and line.retries > 0
        )
        -- One that is due gets its number in a moment.
        then greatest(slots.due_at - moment.now, interval '250 milliseconds') end
)) * 1000)::bigint as milliseconds
from moment
cross join call_queue_settings as settings
join call_queue_user as owner on owner.company_id = $1 and owner.user_id = $2
-- Only the primary key gives this order, so that is read, whenever the plan was made.
cross join lateral (
    select line.n
    from call_queue_line as line
    where line.company_id = $1 and line.id between owner.direct_line and owner.direct_line
    order by line.id
    limit 1
) as direct
join call_slots as slots on slots.company_id = $1
