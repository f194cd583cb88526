create function switchboard.call_slot_take(
    p_company_id uuid, p_call_id uuid, p_user_id text, p_queue_id uuid, p_now timestamptz
) returns void
    language plpgsql
    set search_path = switchboard, pg_temp
as $$
begin
    insert into active_calls (company_id, call_id, user_id, call_type, queue_id, since, heard_at)
    values (p_company_id, p_call_id, p_user_id, 'DIRECT', p_queue_id, p_now, p_now);
    perform call_queue_find_user(p_company_id, p_user_id);
    update call_queue_user
    set active_direct = active_direct + 1
    where company_id = p_company_id and user_id = p_user_id;
    update call_slots
    set active = active + 1,
        lease_at = coalesce(lease_at, p_now + (select slot_lease from call_queue_settings where only_row))
    where company_id = p_company_id;
    perform call_queue_refresh_user(p_company_id, p_user_id, p_now);
end
$$;
comment on function switchboard.call_slot_take(uuid, uuid, text, uuid, timestamptz) is
    'Gives a direct call a slot, whatever the limits: inbound calls exist. The caller holds the lock of call_slots.';
revoke execute on function switchboard.call_slot_take(uuid, uuid, text, uuid, timestamptz) from public;
