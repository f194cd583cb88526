create function switchboard.call_queue_set_line(
    p_company_id uuid, p_campaign_id uuid, p_is_open boolean, p_weight integer
) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_line call_queue_line;
    v_now  timestamptz := switchboard.now();
begin
    select * into v_line from call_queue_line where company_id = p_company_id and id = p_campaign_id;
    update call_queue_line
    set is_open = p_is_open, weight = p_weight,
        -- A line that begins to wait starts at the user's present virtual time.
        finish = case when p_is_open and not v_line.is_open then greatest(finish, (
            select virtual_time from call_queue_user
            where company_id = p_company_id and user_id = v_line.user_id
        )) else finish end
    where company_id = p_company_id and id = p_campaign_id;
    perform call_queue_refresh_user(p_company_id, v_line.user_id, v_now);
end
$$;
comment on function switchboard.call_queue_set_line(uuid, uuid, boolean, integer) is
    'Opens or closes a campaign''s line and sets its weight. The caller holds the lock of call_slots, and dispatches afterwards.';
revoke execute on function switchboard.call_queue_set_line(uuid, uuid, boolean, integer) from public;
