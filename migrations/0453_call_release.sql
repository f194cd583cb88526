create or replace function switchboard.call_release(
    p_company_id uuid, p_call_ids uuid[], p_end_reasons text[], p_are_refused boolean[], p_new_call_ids uuid[]
) returns setof uuid
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
    set enable_hashjoin = off
    set enable_mergejoin = off
    set enable_memoize = off
    set enable_sort = off
as $$
declare
    v_settings call_queue_settings;
    v_again    uuid[];
    v_now      timestamptz := switchboard.now();
begin
    select * into v_settings from call_queue_settings where only_row;
    -- Who renews a slot has no lock but its row's. From here on nobody does, and what follows sees the rows as they are: by
    -- its ctid a row is found only where it is in this version.
    perform 1
    from (select call_id from unnest(p_call_ids) as asked (call_id) order by call_id) as asked
    cross join lateral (
        select 1
        from active_calls as slot
        where slot.company_id = p_company_id and slot.call_id = asked.call_id
        for update
    ) as slot;
    with
    slot as materialized (
        select asked.*, held.tid, held.user_id, held.call_type, held.queue_id,
            least(extract(epoch from v_now - held.since) * 1000, 2147483647)::integer as held_ms
        from unnest(p_call_ids, p_end_reasons, p_are_refused, p_new_call_ids) with ordinality
            as asked (call_id, end_reason, is_refused, new_call_id, place)
        cross join lateral (
            select slot.ctid as tid, slot.user_id, slot.call_type, slot.queue_id, slot.since
            from active_calls as slot
            where slot.company_id = p_company_id and slot.call_id = asked.call_id
            offset 0
        ) as held
    ),
    slot_freed as (
        delete from active_calls using slot where active_calls.ctid = slot.tid
    ),
    -- After what time an item is tried again, and whether that counts as a try. Only the primary keys give these orders.
    delayed as materialized (
        select slot.place, slot.end_reason, slot.is_refused, slot.new_call_id, item.tid, item.line_id, item.campaign_id,
            campaign.tid as campaign_tid, retry.delay, retry.counted
        from slot
        cross join lateral (
            select item.ctid as tid, item.line_id, item.campaign_id, item.retries
            from call_queue as item
            where item.company_id = p_company_id and item.id between slot.queue_id and slot.queue_id
            order by item.id
            limit 1
        ) as item
        left join lateral (
            select campaign.ctid as tid, campaign.status, campaign.max_retries, campaign.retry_interval_minutes
            from campaign
            where campaign.company_id = p_company_id and campaign.id between item.campaign_id and item.campaign_id
            order by campaign.id
            limit 1
        ) as campaign on true
        left join lateral (
            select true as is_there
            from call_operation as operation
            where operation.company_id = p_company_id and operation.call_id between slot.call_id and slot.call_id
                and operation.kind = 'DIAL' and slot.end_reason = 'LEASE_EXPIRED'
            order by operation.call_id, operation.id
            limit 1
        ) as dial on true
        cross join lateral (
            select
                case
                    when campaign.status = 'CANCELED' then null
                    -- Nobody dialled it: an absent dialer must not burn the queue.
                    when slot.end_reason = 'LEASE_EXPIRED' and dial.is_there is null then interval '1 minute'
                    when slot.end_reason in ('BUSY', 'NO_ANSWER', 'FAILED') and item.retries < campaign.max_retries
                        then make_interval(mins => campaign.retry_interval_minutes)
                end as delay,
                (slot.end_reason <> 'LEASE_EXPIRED')::integer as counted
        ) as retry
    ),
    settled as materialized (
        select delayed.*,
            case
                when delayed.delay is not null then 'QUEUED'
                when delayed.end_reason in ('COMPLETED', 'NO_RESPONSE', 'VOICEMAIL', 'TRANSFERRED') then 'COMPLETED'
                when delayed.end_reason = 'CANCELED' then 'CANCELED'
                when delayed.end_reason = 'REJECTED' and delayed.is_refused then 'SKIPPED'
                else 'FAILED'
            end as status
        from delayed
    ),
    item_written as (
        update call_queue as item
        set status = settled.status, revision = item.revision + 1,
            failure_reason = case when settled.status in ('COMPLETED', 'CANCELED') then item.failure_reason
                else settled.end_reason end,
            number = case when settled.delay is null then item.number end,
            not_before = v_now + settled.delay,
            call_id = case when settled.delay is null then item.call_id else settled.new_call_id end,
            attempt = case when settled.delay is null then item.attempt else item.attempt + 1 end,
            version = case when settled.delay is null then item.version else 1 end,
            retries = item.retries + case when settled.delay is null then 0 else settled.counted end,
            requeued_at = case when settled.delay is null then item.requeued_at else v_now end,
            left_at = case when settled.delay is null then item.left_at end
        from settled
        where item.ctid = settled.tid
    ),
    line_written as (
        update call_queue_line as line
        set retries = line.retries + again.n
        from (
            select line.tid, again.n
            from (
                select line_id, count(*)::integer as n from settled where delay is not null group by line_id
            ) as again
            cross join lateral (
                select line.ctid as tid
                from call_queue_line as line
                where line.company_id = p_company_id and line.id = again.line_id
                offset 0
            ) as line
        ) as again
        where line.ctid = again.tid
    ),
    campaign_written as (
        update campaign
        set is_touched = true,
            processing = campaign.processing - ended.n,
            queued = campaign.queued + ended.queued,
            completed = campaign.completed + ended.completed,
            failed = campaign.failed + ended.failed,
            canceled = campaign.canceled + ended.canceled,
            skipped = campaign.skipped + ended.skipped
        from (
            select campaign_tid, count(*) as n,
                count(*) filter (where status = 'QUEUED') as queued,
                count(*) filter (where status = 'COMPLETED') as completed,
                count(*) filter (where status = 'FAILED') as failed,
                count(*) filter (where status = 'CANCELED') as canceled,
                count(*) filter (where status = 'SKIPPED') as skipped
            from settled
            where campaign_tid is not null
            group by campaign_tid
        ) as ended
        where campaign.ctid = ended.campaign_tid
    ),
    -- What waits stays as it was: a retry waits only once it is due.
    user_after as materialized (
        select owner.tid, freed.*, owner.is_busy, owner.may_dispatch, owner.turn, owner.is_waiting,
            owner.active_direct + owner.active_campaign - freed.direct - freed.campaign as active,
            coalesce(owner.call_limit, v_settings.user_calls) as call_limit
        from (
            select slot.user_id,
                count(*) filter (where slot.call_type = 'DIRECT') as direct,
                count(*) filter (where slot.call_type = 'CAMPAIGN') as campaign,
                count(*) filter (where slot.call_type = 'DIRECT' and settled.delay is not null) as direct_again,
                count(*) filter (where slot.call_type = 'CAMPAIGN' and settled.delay is not null) as campaign_again,
                array_agg(slot.held_ms order by slot.place) as held_ms
            from slot
            left join settled using (place)
            group by slot.user_id
        ) as freed
        cross join lateral (
            select owner.ctid as tid, owner.is_busy, owner.may_dispatch, owner.turn, owner.is_waiting, owner.active_direct,
                owner.active_campaign, owner.call_limit
            from call_queue_user as owner
            where owner.company_id = p_company_id and owner.user_id between freed.user_id and freed.user_id
            order by owner.user_id
            limit 1
        ) as owner
    ),
    user_written as (
        update call_queue_user as owner
        set active_direct = owner.active_direct - after.direct,
            active_campaign = owner.active_campaign - after.campaign,
            queued_direct = owner.queued_direct + after.direct_again,
            queued_campaign = owner.queued_campaign + after.campaign_again,
            may_dispatch = after.is_waiting and after.active < after.call_limit,
            is_busy = after.is_waiting or after.active > 0,
            held_ms = (owner.held_ms || after.held_ms)[
                greatest(cardinality(owner.held_ms) + cardinality(after.held_ms) - 49, 1):]
        from user_after as after
        where owner.ctid = after.tid
    ),
    slots_written as (
        update call_slots as slots
        set active = slots.active - freed.n,
            users = slots.users - freed.idle,
            min_turn = least(slots.min_turn, freed.min_turn),
            due_at = least(slots.due_at, v_now + freed.delay)
        from (
            select
                (select count(*) from slot) as n,
                (select min(settled.delay) from settled) as delay,
                count(*) filter (where after.is_busy and not after.is_waiting and after.active = 0) as idle,
                min(after.turn) filter (
                    where after.is_waiting and after.active < after.call_limit and not after.may_dispatch
                ) as min_turn
            from user_after as after
        ) as freed
        where slots.company_id = p_company_id and freed.n > 0
    )
    select array_agg(settled.new_call_id order by settled.place) filter (where settled.delay is not null)
    into v_again
    from settled;
    return query select unnest(v_again);
end
$$;
