create function switchboard.call_queue_cancel_line(p_company_id uuid, p_line_id uuid) returns integer
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_line  call_queue_line;
    v_count integer;
    v_now   timestamptz := switchboard.now();
begin
    select * into v_line from call_queue_line where company_id = p_company_id and id = p_line_id;
    v_count := v_line.n + v_line.retries;
    if v_count = 0 then
        return 0;
    end if;
    update call_queue_line
    set canceled_through = tail, canceled_at = v_now, n = 0, retries = 0, head = tail + 1
    where company_id = p_company_id and id = p_line_id;
    delete from call_queue_hole where company_id = p_company_id and line_id = p_line_id;
    update call_queue_user
    set queued_direct = queued_direct - case when v_line.campaign_id is null then v_count else 0 end,
        queued_campaign = queued_campaign - case when v_line.campaign_id is null then 0 else v_count end
    where company_id = p_company_id and user_id = v_line.user_id;
    update campaign
    set queued = queued - v_count, canceled = canceled + v_count, is_touched = true
    where company_id = p_company_id and id = v_line.campaign_id;
    perform call_queue_refresh_user(p_company_id, v_line.user_id, v_now);
    return v_count;
end
$$;
comment on function switchboard.call_queue_cancel_line(uuid, uuid) is
    'Cancels everything that waits in a line, at once and whatever its length: reads treat the items'' rows as canceled, and a timer writes them. Returns how many. The caller holds the lock of call_slots.';
revoke execute on function switchboard.call_queue_cancel_line(uuid, uuid) from public;
