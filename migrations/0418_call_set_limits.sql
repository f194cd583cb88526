create function switchboard.call_set_limits(p_company_id uuid, p_user_id text, p_limit integer, p_system_limit integer)
    returns void
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_now timestamptz := switchboard.now();
begin
    if p_system_limit is not null then
        update call_slots set system_limit = p_system_limit where company_id = p_company_id;
    end if;
    if p_limit is not null then
        perform call_queue_find_user(p_company_id, p_user_id);
        update call_queue_user set call_limit = p_limit where company_id = p_company_id and user_id = p_user_id;
        perform call_queue_refresh_user(p_company_id, p_user_id, v_now);
    end if;
end
$$;
comment on function switchboard.call_set_limits(uuid, text, integer, integer) is
    'Sets limits; null keeps one. A lower limit ends nothing. The caller holds the lock of call_slots, and dispatches afterwards.';
revoke execute on function switchboard.call_set_limits(uuid, text, integer, integer) from public;
