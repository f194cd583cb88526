create function switchboard.call_queue_refresh_users(p_company_id uuid, p_after text, p_most integer) returns text
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_user_id text;
    v_last    text;
    v_done    integer := 0;
    v_now     timestamptz := switchboard.now();
begin
    for v_user_id in
        select owner.user_id
        from call_queue_user as owner
        where owner.company_id = p_company_id and owner.user_id > p_after
        order by owner.user_id
        limit p_most
    loop
        perform call_queue_refresh_user(p_company_id, v_user_id, v_now);
        v_last := v_user_id;
        v_done := v_done + 1;
    end loop;
    return case when v_done = p_most then v_last end;
end
$$;
comment on function switchboard.call_queue_refresh_users(uuid, text, integer) is
    'Settles which users may be dispatched after the settings were changed: at most p_most users after p_after. Returns the last one; null: there are no more. The caller holds the lock of call_slots, and dispatches afterwards.';
revoke execute on function switchboard.call_queue_refresh_users(uuid, text, integer) from public;
