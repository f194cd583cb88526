-- Calls that have no row, because they wait or were canceled while they waited, newest first; with some that were dispatched
-- and then canceled, which have one. Of items that were canceled with their line and whose rows do not say so yet, those are
-- left out whose state is not wanted, and all of them where only ended ones are. Takes no lock.
--
-- $1 company
-- $2 user, or null
-- $3 campaign, or null
-- $4 states of the items that are wanted: QUEUED, CANCELED
-- $5 only calls before this one, or null
-- $6 most calls of each state
-- Of the inner union one branch is not empty: by campaign, by user, or of the whole company, each by an index.
select
    item.company_id as "company_id!",
    item.call_id as "id!",
    item.user_id as "user_id!",
    item.agent_id as "agent_id!",
    item.call_type as "call_type!: CallType",
    item.campaign_id,
    item.phone_number,
    item.contact_id,
    item.contact_name,
    item.user_data,
    item.attempt as "attempt!",
    item.status = 'QUEUED' and not item.is_canceled as "is_queued!",
    item.version as "version!",
    item.requeued_at as "queued_at!",
    coalesce(item.left_at, item.canceled_at) as left_at
from unnest($4::text[]) as wanted (status)
cross join lateral (
    (
        select item.*, call_queue_is_canceled(item, line) as is_canceled, line.canceled_at
        from call_queue as item
        cross join lateral (
            select * from call_queue_line as line where line.company_id = $1 and line.id = item.line_id offset 0
        ) as line
        where $3::uuid is not null and item.company_id = $1 and item.campaign_id = $3
            and ($2::text is null or item.user_id = $2)
            and item.status = wanted.status and item.status in ('QUEUED', 'CANCELED')
            and ($5::uuid is null or item.call_id < $5)
            and ('CANCELED' = any ($4) or not call_queue_is_canceled(item, line))
        order by item.call_id desc
        limit $6
    )
    union all
    (
        select item.*, call_queue_is_canceled(item, line) as is_canceled, line.canceled_at
        from call_queue as item
        cross join lateral (
            select * from call_queue_line as line where line.company_id = $1 and line.id = item.line_id offset 0
        ) as line
        where $3::uuid is null and $2::text is not null and item.company_id = $1 and item.user_id = $2
            and item.status = wanted.status and item.status in ('QUEUED', 'CANCELED')
            and ($5::uuid is null or item.call_id < $5)
            and ('CANCELED' = any ($4) or not call_queue_is_canceled(item, line))
        order by item.call_id desc
        limit $6
    )
    union all
    (
        select item.*, call_queue_is_canceled(item, line) as is_canceled, line.canceled_at
        from call_queue as item
        cross join lateral (
            select * from call_queue_line as line where line.company_id = $1 and line.id = item.line_id offset 0
        ) as line
        where $3::uuid is null and $2::text is null and item.company_id = $1
            and item.status = wanted.status and item.status in ('QUEUED', 'CANCELED')
            and ($5::uuid is null or item.call_id < $5)
            and ('CANCELED' = any ($4) or not call_queue_is_canceled(item, line))
        order by item.call_id desc
        limit $6
    )
) as item
