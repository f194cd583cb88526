create function switchboard.call_dispatch(p_company_id uuid, p_most integer) returns setof uuid
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_slots     call_slots;
    v_limit     integer;
    v_user      call_queue_user;
    v_item      call_queue;
    v_now       timestamptz := switchboard.now();
    v_done      integer := 0;
    v_is_behind boolean := false;
begin
    select * into v_slots from call_slots where company_id = p_company_id;
    v_limit := coalesce(v_slots.system_limit, (select system_calls from call_queue_settings where only_row));
    while v_slots.active + v_done < v_limit loop
        -- The smallest turn among the users that wait and are below their limits.
        select * into v_user
        from call_queue_user
        where company_id = p_company_id and may_dispatch and turn >= v_slots.min_turn
        order by turn
        limit 1;
        if not found then
            v_slots.min_turn := v_slots.turn + v_done + 1;
            exit;
        end if;
        v_slots.min_turn := v_user.turn;
        if v_done = p_most then
            v_is_behind := true;
            exit;
        end if;
        v_item := call_queue_next(p_company_id, v_user.user_id, v_now);
        if v_item.id is null then
            raise exception 'user % may be dispatched and has no item', v_user.user_id;
        end if;
        v_done := v_done + 1;
        update call_queue
        set status = 'PROCESSING', left_at = v_now, version = v_item.version + 1, revision = v_item.revision + 1
        where company_id = p_company_id and id = v_item.id;
        perform call_queue_leave(p_company_id, v_item.line_id, v_item.number);
        insert into call (company_id, id, user_id, agent_id, call_type, campaign_id, phone_number, contact_id, contact_name,
            user_data, attempt, status, version, queued_at, inserted_at, updated_at)
        values (p_company_id, v_item.call_id, v_item.user_id, v_item.agent_id, v_item.call_type, v_item.campaign_id,
            v_item.phone_number, v_item.contact_id, v_item.contact_name, v_item.user_data, v_item.attempt, 'RESERVED',
            v_item.version + 1, v_item.requeued_at, v_now, v_now);
        insert into active_calls (company_id, call_id, user_id, call_type, queue_id, since, heard_at)
        values (p_company_id, v_item.call_id, v_item.user_id, v_item.call_type, v_item.id, v_now, v_now);
        perform call_queue_count_dispatch(v_user, v_item, v_slots.turn + v_done, v_now);
        return next v_item.call_id;
    end loop;
    if v_done > 0 or v_is_behind <> v_slots.is_behind then
        update call_slots
        set active = active + v_done, turn = v_slots.turn + v_done, min_turn = v_slots.min_turn, is_behind = v_is_behind,
            due_at = case when v_is_behind then v_now else due_at end,
            lease_at = case when v_done = 0 then lease_at
                else coalesce(lease_at, v_now + (select slot_lease from call_queue_settings where only_row)) end
        where company_id = p_company_id;
    end if;
end
$$;
comment on function switchboard.call_dispatch(uuid, integer) is
    'Gives free slots to what waits: in turns between users, within a user by call_queue_next. Each taken item gets its call, in state RESERVED, and its slot. Stops at p_most and notes that it is behind. Returns the calls; the caller holds the lock of call_slots, and appends their events.';
revoke execute on function switchboard.call_dispatch(uuid, integer) from public;
