-- Users with their limits and counters, the longest line first. Takes no lock.
--
-- $1     company
-- $2, $3 after the user with so many queued items and this name, or null
-- $4     most users
select
    owner.user_id,
    coalesce(owner.call_limit, settings.user_calls) as "user_limit!",
    owner.active_direct,
    owner.active_campaign,
    owner.queued_direct,
    owner.queued_campaign,
    coalesce(slots.system_limit, settings.system_calls) as "system_limit!",
    coalesce(slots.active, 0) as "system_active!",
    owner.waited_ms,
    direct.id as "next_direct?",
    campaign.id as "next_campaign?",
    least(direct.queued_at, campaign.queued_at) as oldest_queued_at
from call_queue_settings as settings
left join call_slots as slots on slots.company_id = $1
cross join lateral (
    select *
    from call_queue_user as owner
    where owner.company_id = $1
        and ($2::integer is null or owner.queued < $2 or (owner.queued = $2 and owner.user_id > $3))
    order by owner.queued desc, owner.user_id
    limit $4
) as owner
left join lateral (
    select item.id, item.queued_at
    from call_queue_line as line
    cross join lateral call_queue_head($1, line.id, line.head) as item
    where line.company_id = $1 and line.id between owner.direct_line and owner.direct_line and line.n > 0
    order by line.id
    limit 1
) as direct on true
left join lateral (
    select item.id, item.queued_at
    from call_queue_line as line
    cross join lateral call_queue_head($1, line.id, line.head) as item
    where line.company_id = $1 and line.user_id = owner.user_id and line.campaign_id is not null and line.is_open
        and line.n > 0
    order by line.finish + call_queue_step(line.weight), line.id
    limit 1
) as campaign on true
order by owner.queued desc, owner.user_id
