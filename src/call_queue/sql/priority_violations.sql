-- Campaign calls of a user, of the last 1,000 of the last day, that were dispatched while a direct call of the user waited
-- and no campaign had waited for the length of the setting aging. Computed from what happened, not by the code that decides.
-- Takes no lock.
--
-- $1, $2 company, user
with
moment as materialized (
    select switchboard.now() as now, settings.aging from call_queue_settings as settings
),
dispatched as materialized (
    select item.left_at, lag(item.left_at) over (order by item.left_at) as last_left_at
    from moment
    cross join lateral (
        select item.left_at
        from call_queue as item
        where item.company_id = $1 and item.user_id = $2 and item.call_type = 'CAMPAIGN'
            and item.left_at > moment.now - interval '1 day' and item.status in ('PROCESSING', 'COMPLETED', 'FAILED', 'SKIPPED')
        order by item.left_at desc
        limit 1000
    ) as item
)
select count(*) as "violations!"
from moment
cross join dispatched
where exists (
        select 1
        from call_queue as direct
        where direct.company_id = $1 and direct.user_id = $2 and direct.call_type = 'DIRECT'
            and direct.requeued_at < dispatched.left_at and direct.not_before is null
            and (direct.left_at is null or direct.left_at > dispatched.left_at)
    )
    and not (
        moment.aging > interval '0'
        and (dispatched.last_left_at is null or dispatched.last_left_at + moment.aging <= dispatched.left_at)
        and exists (
            select 1
            from call_queue as waiting
            where waiting.company_id = $1 and waiting.user_id = $2 and waiting.call_type = 'CAMPAIGN'
                and waiting.queued_at + moment.aging <= dispatched.left_at
                and (waiting.left_at is null or waiting.left_at >= dispatched.left_at)
        )
    )
