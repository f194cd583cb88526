create function switchboard.call_queue_refresh_user(p_company_id uuid, p_user_id text, p_now timestamptz) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
declare
    v_user     call_queue_user;
    v_after    call_queue_user;
    v_limit    integer;
    v_direct   integer;
    v_campaign bigint := 0;
begin
    select * into v_user from call_queue_user where company_id = p_company_id and user_id = p_user_id;
    select n into v_direct from call_queue_line where company_id = p_company_id and id = v_user.direct_line;
    if v_user.queued_campaign > 0 then
        select coalesce(sum(n), 0) into v_campaign
        from call_queue_line
        where company_id = p_company_id and user_id = p_user_id and campaign_id is not null and is_open;
    end if;
    v_limit := coalesce(v_user.call_limit, (select user_calls from call_queue_settings where only_row));
    v_after := v_user;
    v_after.is_waiting := v_direct + v_campaign > 0;
    v_after.may_dispatch := v_after.is_waiting and v_user.active_direct + v_user.active_campaign < v_limit;
    v_after.is_busy := v_after.is_waiting or v_user.active_direct + v_user.active_campaign > 0;
    v_after.campaign_since := case when v_campaign > 0 then coalesce(v_user.campaign_since, p_now) end;
    if v_after.is_waiting and not v_user.is_waiting then
        -- Behind everybody that waits already, and before the next turn of each of them.
        update call_slots set turn = turn + 1 where company_id = p_company_id returning turn into v_after.turn;
    end if;
    if v_after is distinct from v_user then
        update call_queue_user
        set is_waiting = v_after.is_waiting, may_dispatch = v_after.may_dispatch, is_busy = v_after.is_busy,
            campaign_since = v_after.campaign_since, turn = v_after.turn
        where company_id = p_company_id and user_id = p_user_id;
    end if;
    if v_after.is_busy <> v_user.is_busy or (v_after.may_dispatch and not v_user.may_dispatch) then
        update call_slots
        set users = users + v_after.is_busy::integer - v_user.is_busy::integer,
            min_turn = case when v_after.may_dispatch then least(min_turn, v_after.turn) else min_turn end
        where company_id = p_company_id;
    end if;
end
$$;
comment on function switchboard.call_queue_refresh_user(uuid, text, timestamptz) is
    'Settles what follows from a user''s lines, slots and limit: whether it waits, may be dispatched, its turn. After every change of them. The caller holds the lock of call_slots.';
revoke execute on function switchboard.call_queue_refresh_user(uuid, text, timestamptz) from public;
