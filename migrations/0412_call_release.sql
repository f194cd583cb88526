create function switchboard.call_release(
    p_company_id uuid, p_call_id uuid, p_end_reason text, p_is_refused boolean, p_new_call_id uuid
) returns uuid
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_slot     active_calls;
    v_item     call_queue;
    v_campaign campaign;
    v_status   text;
    v_delay    interval;
    v_counted  integer := 0;
    v_now      timestamptz := switchboard.now();
begin
    delete from active_calls where company_id = p_company_id and call_id = p_call_id returning * into v_slot;
    if not found then
        return null;
    end if;
    update call_slots set active = active - 1 where company_id = p_company_id;
    if v_slot.queue_id is not null then
        select * into v_item from call_queue where company_id = p_company_id and id = v_slot.queue_id;
        select * into v_campaign from campaign where company_id = p_company_id and id = v_item.campaign_id;
        if p_end_reason = 'LEASE_EXPIRED' and coalesce(v_campaign.status, '') <> 'CANCELED' then
            -- Nobody dialled it: an absent dialer must not burn the queue.
            perform 1 from call_operation where company_id = p_company_id and call_id = p_call_id and kind = 'DIAL' limit 1;
            if not found then
                v_delay := interval '1 minute';
            end if;
        elsif p_end_reason in ('BUSY', 'NO_ANSWER', 'FAILED') and v_item.retries < v_campaign.max_retries
            and v_campaign.status <> 'CANCELED' then
            v_delay := make_interval(mins => v_campaign.retry_interval_minutes);
            v_counted := 1;
        end if;
        v_status := case
            when v_delay is not null then 'QUEUED'
            when p_end_reason in ('COMPLETED', 'NO_RESPONSE', 'VOICEMAIL', 'TRANSFERRED') then 'COMPLETED'
            when p_end_reason = 'CANCELED' then 'CANCELED'
            when p_end_reason = 'REJECTED' and p_is_refused then 'SKIPPED'
            else 'FAILED' end;
        update call_queue
        set status = v_status, revision = revision + 1,
            failure_reason = case when v_status in ('COMPLETED', 'CANCELED') then failure_reason else p_end_reason end,
            number = case when v_delay is null then number end,
            not_before = v_now + v_delay,
            call_id = case when v_delay is null then call_id else p_new_call_id end,
            attempt = case when v_delay is null then attempt else attempt + 1 end,
            version = case when v_delay is null then version else 1 end,
            retries = retries + v_counted,
            requeued_at = case when v_delay is null then requeued_at else v_now end,
            left_at = case when v_delay is null then left_at end
        where company_id = p_company_id and id = v_item.id;
        if v_delay is not null then
            update call_queue_line set retries = retries + 1 where company_id = p_company_id and id = v_item.line_id;
            update call_slots
            set due_at = least(due_at, v_now + v_delay)
            where company_id = p_company_id;
        end if;
        if v_item.campaign_id is not null then
            update campaign
            set is_touched = true,
                processing = processing - 1,
                queued = queued + (v_status = 'QUEUED')::integer,
                completed = completed + (v_status = 'COMPLETED')::integer,
                failed = failed + (v_status = 'FAILED')::integer,
                canceled = canceled + (v_status = 'CANCELED')::integer,
                skipped = skipped + (v_status = 'SKIPPED')::integer
            where company_id = p_company_id and id = v_item.campaign_id;
        end if;
    end if;
    update call_queue_user
    set active_direct = active_direct - (v_slot.call_type = 'DIRECT')::integer,
        active_campaign = active_campaign - (v_slot.call_type = 'CAMPAIGN')::integer,
        queued_direct = queued_direct + (v_delay is not null and v_slot.call_type = 'DIRECT')::integer,
        queued_campaign = queued_campaign + (v_delay is not null and v_slot.call_type = 'CAMPAIGN')::integer,
        held_ms = held_ms[greatest(cardinality(held_ms) - 48, 1):]
            || least(extract(epoch from v_now - v_slot.since) * 1000, 2147483647)::integer
    where company_id = p_company_id and user_id = v_slot.user_id;
    perform call_queue_refresh_user(p_company_id, v_slot.user_id, v_now);
    return case when v_delay is not null then v_item.id end;
end
$$;
comment on function switchboard.call_release(uuid, uuid, text, boolean, uuid) is
    'Frees the slot of a call that has ended, and decides what becomes of its item: done, or queued again with a new call. Returns the item in the latter case. A call without a slot: nothing. The caller holds the lock of call_slots and then the call''s, dispatches afterwards, and appends the events.';
revoke execute on function switchboard.call_release(uuid, uuid, text, boolean, uuid) from public;
