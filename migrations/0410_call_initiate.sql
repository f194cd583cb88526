create function switchboard.call_initiate(
    p_company_id uuid, p_call_id uuid, p_queue_id uuid, p_user_id text, p_agent_id text, p_phone_number text,
    p_contact_id text, p_contact_name text, p_user_data jsonb
) returns text
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_slots call_slots;
    v_user  call_queue_user;
    v_busy  text;
    v_now   timestamptz := switchboard.now();
begin
    select * into v_slots from call_slots where company_id = p_company_id;
    v_user := call_queue_find_user(p_company_id, p_user_id);
    if v_slots.is_behind or v_slots.active >= coalesce(v_slots.system_limit,
        (select system_calls from call_queue_settings where only_row)) then
        v_busy := 'System concurrent call limit reached - call will be queued';
    elsif v_user.is_waiting or v_user.active_direct + v_user.active_campaign >= coalesce(v_user.call_limit,
        (select user_calls from call_queue_settings where only_row)) then
        v_busy := 'User at concurrency limit - direct call should be queued';
    end if;
    if v_busy is null then
        insert into call (company_id, id, user_id, agent_id, call_type, phone_number, contact_id, contact_name, user_data,
            status, inserted_at, updated_at)
        values (p_company_id, p_call_id, p_user_id, p_agent_id, 'DIRECT', p_phone_number, p_contact_id, p_contact_name,
            p_user_data, 'RESERVED', v_now, v_now);
        perform call_slot_take(p_company_id, p_call_id, p_user_id, null, v_now);
        return null;
    end if;
    insert into call_queue (company_id, id, line_id, user_id, call_type, number, status, call_id, agent_id, phone_number,
        contact_id, contact_name, user_data, queued_at, requeued_at)
    values (p_company_id, p_queue_id, v_user.direct_line, p_user_id, 'DIRECT',
        call_queue_enter(p_company_id, v_user.direct_line), 'QUEUED', p_call_id, p_agent_id, p_phone_number, p_contact_id,
        p_contact_name, p_user_data, v_now, v_now);
    update call_queue_user
    set queued_direct = queued_direct + 1
    where company_id = p_company_id and user_id = p_user_id;
    perform call_queue_refresh_user(p_company_id, p_user_id, v_now);
    return v_busy;
end
$$;
comment on function switchboard.call_initiate(uuid, uuid, uuid, text, text, text, text, text, jsonb) is
    'Gives a direct call a slot, or the last place of its user''s direct line. Null: it has a slot; else the reason for which it waits. The caller holds the lock of call_slots, dispatches afterwards, and appends the call''s event.';
revoke execute on function switchboard.call_initiate(uuid, uuid, uuid, text, text, text, text, text, jsonb) from public;
