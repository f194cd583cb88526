create function switchboard.call_queue_enqueue(
    p_company_id uuid, p_campaign_id uuid, p_queue_ids uuid[], p_call_ids uuid[], p_phone_numbers text[],
    p_contact_ids text[], p_contact_names text[], p_user_data text[], out entered boolean[], out replaced uuid[]
)
    language plpgsql
    set search_path = switchboard, pg_temp
    set plan_cache_mode = force_generic_plan
    set enable_seqscan = off
    set enable_bitmapscan = off
as $$
declare
    v_campaign campaign;
    v_line     call_queue_line;
    v_old      call_queue;
    v_entered  integer := 0;
    v_now      timestamptz := switchboard.now();
begin
    entered := '{}';
    replaced := '{}';
    select * into v_campaign from campaign where company_id = p_company_id and id = p_campaign_id;
    select * into v_line from call_queue_line where company_id = p_company_id and id = p_campaign_id;
    for v_index in 1 .. cardinality(p_queue_ids) loop
        select * into v_old
        from call_queue
        where company_id = p_company_id and campaign_id = p_campaign_id and contact_id = p_contact_ids[v_index]
            and status in ('QUEUED', 'PROCESSING');
        if found then
            if not call_queue_is_canceled(v_old, v_line) then
                entered := entered || false;
                continue;
            end if;
            -- Canceled with its whole line: the contact is free at once.
            perform call_queue_write_canceled(p_company_id, v_old.id, v_line.canceled_at);
            replaced := replaced || v_old.call_id;
        end if;
        insert into call_queue (company_id, id, line_id, user_id, call_type, campaign_id, number, status, call_id, agent_id,
            phone_number, contact_id, contact_name, user_data, queued_at, requeued_at)
        values (p_company_id, p_queue_ids[v_index], p_campaign_id, v_campaign.user_id, 'CAMPAIGN', p_campaign_id,
            v_line.tail + v_entered + 1, 'QUEUED', p_call_ids[v_index], v_campaign.agent_id, p_phone_numbers[v_index],
            p_contact_ids[v_index], p_contact_names[v_index], p_user_data[v_index]::jsonb, v_now, v_now);
        v_entered := v_entered + 1;
        entered := entered || true;
    end loop;
    if v_entered = 0 then
        return;
    end if;
    perform call_queue_enter(p_company_id, p_campaign_id);
    update call_queue_line
    set tail = tail + v_entered - 1, n = n + v_entered - 1
    where company_id = p_company_id and id = p_campaign_id;
    update call_queue_user
    set queued_campaign = queued_campaign + v_entered
    where company_id = p_company_id and user_id = v_campaign.user_id;
    update campaign
    set queued = queued + v_entered, is_touched = true,
        status = case when status = 'COMPLETED' then 'ACTIVE' else status end
    where company_id = p_company_id and id = p_campaign_id;
    perform call_queue_refresh_user(p_company_id, v_campaign.user_id, v_now);
end
$$;
comment on function switchboard.call_queue_enqueue(uuid, uuid, uuid[], uuid[], text[], text[], text[], text[]) is
    'Puts contacts at the end of a campaign''s line; entered is false for each that has an open item already, also earlier in the same list. replaced: calls of items that were canceled with their whole line and whose rows say so now. The caller holds the lock of call_slots, dispatches afterwards, and appends the calls'' events.';
revoke execute on function switchboard.call_queue_enqueue(uuid, uuid, uuid[], uuid[], text[], text[], text[], text[]) from public;
