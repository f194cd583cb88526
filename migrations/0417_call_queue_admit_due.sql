create function switchboard.call_queue_admit_due(p_company_id uuid, p_most integer) returns integer
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_item  call_queue;
    v_users text[] := '{}';
    v_user  text;
    v_done  integer := 0;
    v_now   timestamptz := switchboard.now();
begin
    for v_item in
        select *
        from call_queue as item
        where company_id = p_company_id and status = 'QUEUED' and number is null and not_before <= v_now
            -- Those that were canceled with their line are written by another timer.
            and not exists (
                select 1
                from call_queue_line as line
                where line.company_id = p_company_id and line.id = item.line_id and item.requeued_at <= line.canceled_at
            )
        order by not_before
        limit p_most
    loop
        v_done := v_done + 1;
        update call_queue
        set number = call_queue_enter(p_company_id, v_item.line_id), not_before = null, revision = revision + 1
        where company_id = p_company_id and id = v_item.id;
        update call_queue_line set retries = retries - 1 where company_id = p_company_id and id = v_item.line_id;
        v_users := v_users || v_item.user_id;
    end loop;
    for v_user in select distinct user_id from unnest(v_users) as due (user_id) order by user_id loop
        perform call_queue_refresh_user(p_company_id, v_user, v_now);
    end loop;
    update call_slots
    set due_at = (
        select not_before
        from call_queue as item
        where company_id = p_company_id and status = 'QUEUED' and number is null
            and not exists (
                select 1
                from call_queue_line as line
                where line.company_id = p_company_id and line.id = item.line_id and item.requeued_at <= line.canceled_at
            )
        order by not_before
        limit 1
    )
    where company_id = p_company_id;
    return v_done;
end
$$;
comment on function switchboard.call_queue_admit_due(uuid, integer) is
    'Gives retries that are due a number at the tail of their lines, and notes when the next one is due. The caller holds the lock of call_slots, and dispatches afterwards.';
revoke execute on function switchboard.call_queue_admit_due(uuid, integer) from public;
