-- Limits and counters of a user; of one that is not known the defaults. Takes no lock.
--
-- $1 company
-- $2 user
select
    coalesce(owner.call_limit, settings.user_calls) as "user_limit!",
    coalesce(owner.active_direct, 0) as "active_direct!",
    coalesce(owner.active_campaign, 0) as "active_campaign!",
    coalesce(owner.queued_direct, 0) as "queued_direct!",
    coalesce(owner.queued_campaign, 0) as "queued_campaign!",
    coalesce(slots.system_limit, settings.system_calls) as "system_limit!",
    coalesce(slots.active, 0) as "system_active!",
    coalesce(owner.waited_ms, '{}') as "waited_ms!",
    direct.id as "next_direct?",
    campaign.id as "next_campaign?"
from call_queue_settings as settings
left join call_slots as slots on slots.company_id = $1
left join call_queue_user as owner on owner.company_id = $1 and owner.user_id = $2
left join lateral (
    select item.id
    from call_queue_line as line
    cross join lateral call_queue_head($1, line.id, line.head) as item
    where line.company_id = $1 and line.id between owner.direct_line and owner.direct_line and line.n > 0
    order by line.id
    limit 1
) as direct on true
left join lateral (
    select item.id
    from call_queue_line as line
    cross join lateral call_queue_head($1, line.id, line.head) as item
    where line.company_id = $1 and line.user_id = $2 and line.campaign_id is not null and line.is_open and line.n > 0
    order by line.finish + call_queue_step(line.weight), line.id
    limit 1
) as campaign on true
