-- Items as the API shows them, with what their waiting time is estimated from. Takes no lock.
--
-- $1 company
-- $2 items
with
moment as materialized (
    select switchboard.now() as now
)
select
    item.company_id,
    item.id,
    item.call_id,
    item.revision as version,
    item.user_id,
    item.call_type as "call_type: CallType",
    item.campaign_id,
    item.not_before,
    item.attempt,
    item.contact_id,
    item.contact_name,
    item.phone_number,
    item.failure_reason,
    case when call_queue_is_canceled(item, line) then 'CANCELED' else item.status end as "status!: QueueStatus",
    item.queued_at,
    case
        when item.not_before is not null then 'RETRY'
        when campaign.status = 'PAUSED' then 'PAUSED'
        when campaign.status in ('DRAFT', 'SCHEDULED') then 'NOT_STARTED'
        when not campaign.is_window_open then 'WINDOW'
    end as "blocked_by: QueueBlock",
    place.position,
    place.position_in_type,
    owner.held_ms,
    coalesce(owner.call_limit, settings.user_calls) as "user_limit!",
    owner.active_direct + owner.active_campaign as "user_active!",
    coalesce(slots.system_limit, settings.system_calls) as "system_limit!",
    slots.users as "users!"
from moment
cross join call_queue_settings as settings
cross join unnest($2::uuid[]) with ordinality as asked (id, number)
cross join lateral (
    select *
    from call_queue as item
    where item.company_id = $1 and item.id between asked.id and asked.id
    order by item.id
    limit 1
) as item
cross join lateral (
    select * from call_queue_line as line where line.company_id = $1 and line.id = item.line_id offset 0
) as line
cross join lateral (
    select * from call_queue_user as owner where owner.company_id = $1 and owner.user_id = item.user_id offset 0
) as owner
cross join lateral (
    select * from call_slots as slots where slots.company_id = $1 offset 0
) as slots
left join lateral (
    select * from campaign where campaign.company_id = $1 and campaign.id = item.campaign_id offset 0
) as campaign on true
cross join lateral call_queue_position($1, item.id, moment.now) as place
order by asked.number
