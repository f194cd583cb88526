create or replace function switchboard.call_queue_cancel(p_company_id uuid, p_queue_id uuid) returns text
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_item call_queue;
    v_tid  tid;
    v_line call_queue_line;
    v_now  timestamptz := switchboard.now();
begin
    -- Only the primary key gives this order, so that is read, whenever the plan was made.
    select ctid into v_tid
    from call_queue
    where company_id = p_company_id and id between p_queue_id and p_queue_id
    order by id
    limit 1;
    if not found then
        return null;
    end if;
    select * into v_item from call_queue where ctid = v_tid;
    select * into v_line from call_queue_line where company_id = p_company_id and id = v_item.line_id;
    if v_item.status = 'PROCESSING' then
        return 'ALREADY_DISPATCHED';
    end if;
    if v_item.status <> 'QUEUED' or call_queue_is_canceled(v_item, v_line) then
        return 'ALREADY_ENDED';
    end if;
    update call_queue
    set status = 'CANCELED', left_at = v_now, version = version + 1, revision = revision + 1
    where ctid = v_tid;
    if v_item.number is null then
        update call_queue_line set retries = retries - 1 where company_id = p_company_id and id = v_item.line_id;
    else
        perform call_queue_leave(p_company_id, v_item.line_id, v_item.number);
    end if;
    update call_queue_user
    set queued_direct = queued_direct - (v_item.call_type = 'DIRECT')::integer,
        queued_campaign = queued_campaign - (v_item.call_type = 'CAMPAIGN')::integer
    where company_id = p_company_id and user_id = v_item.user_id;
    if v_item.campaign_id is not null then
        update campaign
        set queued = queued - 1, canceled = canceled + 1, is_touched = true
        where company_id = p_company_id and id = v_item.campaign_id;
    end if;
    perform call_queue_refresh_user(p_company_id, v_item.user_id, v_now);
    return 'CANCELED';
end
$$;
