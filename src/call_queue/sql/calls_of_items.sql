-- Calls that have no row, because they were not dispatched: as their items say. Takes no lock.
--
-- $1 company
-- $2 calls
select
    item.company_id,
    item.call_id as id,
    item.user_id,
    item.agent_id,
    item.call_type as "call_type: CallType",
    item.campaign_id,
    item.phone_number,
    item.contact_id,
    item.contact_name,
    item.user_data,
    item.attempt,
    item.status = 'QUEUED' and not call_queue_is_canceled(item, line) as "is_queued!",
    item.version,
    item.requeued_at as queued_at,
    coalesce(item.left_at, line.canceled_at) as left_at
from unnest($2::uuid[]) as asked (id)
-- Only the index of calls gives this order, so that is read, whenever the plan was made.
cross join lateral (
    select *
    from call_queue as item
    where item.company_id = $1 and item.call_id between asked.id and asked.id
    order by item.call_id
    limit 1
) as item
cross join lateral (
    select * from call_queue_line as line where line.company_id = $1 and line.id = item.line_id offset 0
) as line
where item.status in ('QUEUED', 'CANCELED')
